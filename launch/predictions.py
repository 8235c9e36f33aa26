"""What the model of a run says of pairs."""

import numpy as np
import tensorflow as tf

from engine.evaluator import build_evaluator
from engine.ledger import Ledger
from launch.restored import restore_run
from tasks.pairs import Pairs


def predict(
  model_dir: str,
  pairs: Pairs,
  batch_size: int = 32,
  *,
  best: bool = False,
  precision: str | None = None,
) -> tuple[list[str], np.ndarray]:
  """Computes class shares, or scores, with a checkpoint of a run.

  Args:
    model_dir: directory of the run, which has all that is needed.
    pairs: without labels, or with.
    batch_size: pairs in a step.
    best: whether to take the best evaluation's weights, not the newest.
    precision: of products; by default the run's.

  Returns:
    The names of the classes, and float32 probabilities [pairs, classes]; for a
    regression no names, and scores [pairs, 1].

  Raises:
    UserError: where the run has no checkpoint.
  """
  restored = restore_run(model_dir, best=best, precision=precision)
  evaluator = build_evaluator(
    task=restored.task,
    model=restored.model,
    source=restored.task.pair_source(pairs),
    strategy=tf.distribute.get_strategy(),
    batch_size=batch_size,
    ledger=Ledger(),
  )
  outputs, classes = evaluator.predictions()["outputs"], restored.task.classes
  return list(classes), tf.nn.softmax(outputs).numpy() if classes else outputs

"""What the model of a run says of pairs."""

import numpy as np
import tensorflow as tf

from engine.loop.evaluator import build_evaluator
from engine.measure.ledger import Ledger
from launch.trained.restored import Restored, restore_run
from tasks.config import SentencePairConfig
from tasks.data.datasets import read_split
from tasks.data.pairs import Pairs


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
  return _predict(restored, pairs, batch_size)


def predict_split(
  model_dir: str,
  config: SentencePairConfig,
  split: str,
  batch_size: int = 32,
  *,
  best: bool = False,
) -> tuple[Pairs, list[str], np.ndarray]:
  """As `predict`, of a split.

  Args:
    model_dir: directory of the run.
    config: where the split is.
    split: whose pairs are predicted.
    batch_size: pairs in a step.
    best: whether to take the best evaluation's weights, not the newest.

  Returns:
    The pairs, and what `predict` returns of them.
  """
  restored = restore_run(model_dir, best=best)
  pairs = read_split(config, split, restored.task.answers)
  return pairs, *_predict(restored, pairs, batch_size)


def _predict(
  restored: Restored, pairs: Pairs, batch_size: int
) -> tuple[list[str], np.ndarray]:
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

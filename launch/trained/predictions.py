"""What the model of a run says of examples, in numbers and in lines."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import UserError
from engine.loop.evaluator import build_evaluator
from engine.measure.ledger import Ledger
from engine.task import Source, each_of
from launch.trained import lines
from launch.trained.restored import Restored


def predict(
  restored: Restored, source: Source, batch_size: int = 32
) -> dict[str, np.ndarray]:
  """Computes the readings of all examples.

  Args:
    restored: a run.
    source: of its task; labels need not be known.
    batch_size: examples in a step.

  Returns:
    Name -> [examples, ...], as the task's `readings` have them: `probabilities`
    of classes, the `score` of a regression.
  """
  evaluator = build_evaluator(
    task=restored.task,
    model=restored.model,
    source=source,
    strategy=tf.distribute.get_strategy(),
    batch_size=batch_size,
    ledger=Ledger(),
  )
  readings = restored.task.readings(evaluator.predictions()["outputs"])
  return {name: _on_host(value) for name, value in readings.items()}


def _on_host(value: Any) -> np.ndarray:
  array = np.asarray(value)
  is_text = array.dtype == object
  return np.char.decode(array.astype(bytes), "utf-8") if is_text else array


def predict_lines(
  restored: Restored, path: str, batch_size: int
) -> Iterator[str]:
  """Yields what is said of each line of a file; "-" is the standard input.

  Raises:
    UserError: where the task reads no lines, or a line is not as it must be.
  """
  task = restored.task
  given, kept = itertools.tee(lines.read_lines(path, task.noun))
  source = task.read_inputs(given)
  texts = [text for _, text in kept]
  if len(source) != len(texts):
    raise UserError(
      f"`read_inputs` gave {len(source)} examples for {len(texts)} lines: let "
      "it give one for each."
    )
  readings = predict(restored, source, batch_size)
  for reading, text in zip(each_of(readings), texts, strict=True):
    yield lines.described(task.describe_output(reading, text), text)


def predict_split(
  restored: Restored, split: str, batch_size: int
) -> Iterator[str]:
  """Yields the lines of the file of predictions of a split.

  Raises:
    UserError: where the split is not there.
  """
  source = restored.task.read_split(split)
  readings = predict(restored, source, batch_size)
  yield from lines.table(restored.task.describe_split(split, source, readings))

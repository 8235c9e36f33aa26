"""What the model of a run says of examples, in numbers and in lines."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from engine.errors import UserError
from engine.loop.evaluator import build_evaluator
from engine.measure.ledger import Ledger
from engine.task import Source, each_of
from launch.trained import ensemble, lines
from launch.trained.restored import Restored
from tasks.data.json_lines import are_json
from tasks.data.left_out import UNREADABLE, numbered


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
  if restored.others or restored.symmetric:
    one = lambda run, view: predict(run, view, batch_size)
    return ensemble.averaged(restored, source, one)
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

  Where the task passes over bad lines, these are marked.

  Raises:
    UserError: where the task reads no lines, or a line is not as it must be.
  """
  task = restored.task
  read = [*lines.read_lines(path, task.noun)]
  skips = getattr(restored.config.task, "skip_bad_lines", False)
  given, numbers, unread = [], [], {}
  for number, (place, text) in enumerate(read):
    if not isinstance(text, UserError):
      given.append((place, text))
      numbers.append(number)
    elif skips:
      unread[number] = str(text)
    else:
      raise text
  source = task.read_inputs(given)
  if len(source) + len(source.unread) != len(given):
    raise UserError(
      f"`read_inputs` gave {len(source)} examples for {len(given)} lines: let "
      "it give one for each."
    )
  as_json = are_json([text for _, text in given])
  unread |= {numbers[i]: why for i, why in source.unread.items()}
  _tell(unread, len(read))
  readings = predict(restored, source, batch_size) if len(source) else {}
  each = each_of(readings)
  for number, (_, text) in enumerate(read):
    if number in unread or isinstance(text, UserError):
      yield lines.unreadable(as_json=as_json)
    else:
      values = task.describe_output(next(each), text)
      yield lines.described(values, as_json=as_json)


def _tell(unread: Mapping[int, str], rows: int) -> None:
  """Says in one line which rows have no prediction, and why the first has."""
  if unread:
    logging.warning(
      "%d of %d rows cannot be read and are marked %r: %s, from 0; the first: "
      "%s",
      len(unread),
      rows,
      UNREADABLE,
      numbered(unread),
      unread[min(unread)],
    )


def predict_split(
  restored: Restored, split: str, batch_size: int
) -> Iterator[str]:
  """Yields the lines of the file of predictions of a split.

  Raises:
    UserError: where the split is not there.
  """
  source = restored.task.read_split(split)
  readings = predict(restored, source, batch_size)
  if restored.others or restored.symmetric:
    ensemble.tell(restored, split, source, readings)
  yield from lines.table(restored.task.describe_split(split, source, readings))

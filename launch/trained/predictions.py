"""What the model of a run says of examples, in numbers and in lines."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from engine.durability.run_directory import RunDirectory
from engine.errors import UserError
from engine.loop.evaluator import Evaluator
from engine.loop.inputs import Inputs
from engine.measure.ledger import Ledger
from engine.run.found import differences, facts_of, noted_data
from engine.task import Source, Task, each_of
from launch.trained import ensemble, lines
from launch.trained.by_size import BySize
from launch.trained.inputs import Row
from launch.trained.outputs import Said, Written
from launch.trained.restored import Restored
from tasks.data.left_out import UNREADABLE, numbered
from tasks.data.row_files import MEND
from tasks.sentence_pair import SentencePairTask

_CHUNK = 2**12  # Rows whose predictions are made together.


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

  Raises:
    UserError: where one of them is no number.
  """
  if restored.others or restored.symmetric:
    one = lambda run, view: predict(run, view, batch_size)
    return ensemble.averaged(restored, source, one)
  strategy = tf.distribute.get_strategy()
  inputs = Inputs(
    source=source,
    order=BySize(source, batch_size),
    strategy=strategy,
    batch_size=batch_size,
  )
  kept = _kept(restored.task, restored.model, strategy)
  if not kept:
    kept.append(
      Evaluator(
        task=restored.task,
        model=restored.model,
        inputs=inputs,
        strategy=strategy,
        ledger=Ledger(),
      )
    )
  (evaluator,) = kept
  evaluator.inputs = inputs
  readings = restored.task.readings(evaluator.predictions()["outputs"])
  found = {name: _on_host(value) for name, value in readings.items()}
  for name, value in found.items():
    if value.dtype.kind == "f" and np.isnan(value).any():
      raise UserError(
        f"`{name}` of an example is no number: the weights of the run are too "
        "large, or not finite; train it with a lower --learning_rate, or take "
        "another --checkpoint."
      )
  return found


def _on_host(value: Any) -> np.ndarray:
  array = np.asarray(value)
  is_text = array.dtype == object
  return np.char.decode(array.astype(bytes), "utf-8") if is_text else array


@functools.lru_cache(maxsize=4)
def _kept(
  task: Task, model: tf_keras.Model, strategy: tf.distribute.Strategy
) -> list[Evaluator]:
  """Where the evaluator of a model is: what it compiles serves all sources."""
  del task, model, strategy
  return []


def predict_rows(
  restored: Restored, rows: Iterable[Row], batch_size: int, first: int = 0
) -> Iterator[list[Said]]:
  """Yields what is said of rows, of some thousands at a time.

  Where the task passes over bad rows, nothing is said of these.

  Args:
    restored: a run.
    rows: as `launch.trained.inputs` reads them.
    batch_size: examples in a step.
    first: number of the first row.

  Raises:
    UserError: where the task reads no lines, or one is not as it must be.
  """
  skips = getattr(restored.config.task, "skip_bad_lines", False)
  unread: dict[int, str] = {}
  begun = first
  for _, group in itertools.groupby(rows, key=lambda row: row.form):
    while chunk := [*itertools.islice(group, _CHUNK)]:
      faults = {
        i: x.line for i, x in enumerate(chunk) if isinstance(x.line, UserError)
      }
      if faults and not skips:
        raise next(iter(faults.values()))
      bad = {i: str(x).removesuffix(f": {MEND}") for i, x in faults.items()}
      said = _predict_chunk(restored, chunk, bad, batch_size)
      unread |= {first + i: why for i, why in bad.items()}
      first += len(chunk)
      yield said
  _tell(unread, first - begun)


def _predict_chunk(
  restored: Restored,
  chunk: Sequence[Row],
  bad: dict[int, str],
  batch_size: int,
) -> list[Said]:
  """Returns what is said of each row; adds those that the task cannot read."""
  task = restored.task
  good = {i: str(x.line) for i, x in enumerate(chunk) if i not in bad}
  source = task.read_inputs([(chunk[i].place, x) for i, x in good.items()])
  if len(source) + len(source.unread) != len(good):
    raise UserError(
      f"`read_inputs` gave {len(source)} examples for {len(good)} lines: let "
      "it give one for each."
    )
  numbers = [*good]
  bad |= {numbers[i]: why for i, why in source.unread.items()}
  lines = [x for i, x in good.items() if i not in bad]
  readings = predict(restored, source, batch_size) if len(source) else {}
  each = zip(each_of(readings), _are_cut(task, source, lines), strict=True)
  said = []
  for i, row in enumerate(chunk):
    if i in bad:
      said.append(Said(row, None))
    else:
      reading, cut = next(each)
      said.append(Said(row, task.describe_output(reading, good[i]), cut))
  return said


def _are_cut(
  task: Task, source: Source, lines: Sequence[str]
) -> Iterator[bool | None]:
  """Yields whether each example of a source has been cut."""
  if not isinstance(task, SentencePairTask):
    yield from [None] * len(source)
    return
  longest = task.config.max_seq_length
  sizes = source.sizes(np.arange(len(source)))
  for size, line in zip(sizes, lines, strict=True):
    yield bool(size == longest and task.is_cut(line))


def predict_lines(
  restored: Restored,
  rows: Iterable[Row],
  batch_size: int,
  written: Written | None = None,
) -> Iterator[str]:
  """Yields what is written of rows.

  Args:
    restored: a run.
    rows: as `launch.trained.inputs` reads them.
    batch_size: examples in a step.
    written: says in which form; by default in that of the rows.

  Raises:
    UserError: where the task reads no lines, or a line is not as it must be.
  """
  written = written or Written()
  for said in predict_rows(restored, rows, batch_size):
    yield from written.lines(said)
  yield from written.rest()


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


def _check_parts(restored: Restored, split: str) -> None:
  """Refuses training files that are not those that the run has split.

  Other pairs would be held out of them: the run was trained on some.
  """
  noted = noted_data(RunDirectory(restored.directory))
  if split in noted:
    facts = facts_of(restored.task.source(split))
    for told in differences(noted, {split: facts}).values():
      raise UserError(
        f"`split` {split!r} is a part of train_file, which has changed since "
        f"the run split it ({told}): bring the old file back."
      )


def predict_split(
  restored: Restored, split: str, batch_size: int
) -> Iterator[str]:
  """Yields the lines of the file of predictions of a split.

  Raises:
    UserError: where the split is not there.
  """
  if getattr(restored.config.task, "eval_fraction", 0):
    _check_parts(restored, split)
  source = restored.task.read_split(split)
  readings = predict(restored, source, batch_size)
  if restored.others or restored.symmetric:
    ensemble.tell(restored, split, source, readings)
  yield from lines.table(restored.task.describe_split(split, source, readings))

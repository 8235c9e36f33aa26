"""Several answers to one question: both orders of a pair, several runs."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from engine.certainty.intervals import intervals_of
from engine.errors import UserError, listed
from engine.measure.terminal import INTERVALS, OF_RECORD, scores
from engine.task import Source
from launch.trained.restored import Restored
from tasks.data.datasets import read_split
from tasks.sentence_pair import SentencePairTask

Readings = Mapping[str, np.ndarray]


def join(runs: Sequence[Restored], *, symmetric: bool) -> Restored:
  """Returns runs as one, whose readings are the means of theirs.

  Args:
    runs: one or more.
    symmetric: whether each is asked for both orders of a pair.

  Raises:
    UserError: where they do not say the same kind of thing of the same tokens.
  """
  first, *others = runs
  for other in others:
    apart = _differences(first, other)
    if apart:
      raise UserError(
        f"`model_dir` {other.directory} has other {listed(apart)} than "
        f"{first.directory}: an ensemble needs the same ones."
      )
  return dataclasses.replace(first, others=tuple(others), symmetric=symmetric)


def _differences(first: Restored, other: Restored) -> list[str]:
  if first.config.task.name != other.config.task.name and not all(
    isinstance(x.task, SentencePairTask) for x in (first, other)
  ):
    return ["task"]
  facts = [
    {
      "classes": getattr(run.task, "classes", ()),
      "vocabulary": run.task.tokenizer.digest()
      if isinstance(run.task, SentencePairTask)
      else "",
      "max_seq_length": getattr(run.config.task, "max_seq_length", 0),
      "text_b": bool(getattr(run.config.task, "text_b", "")),
    }
    for run in (first, other)
  ]
  return [name for name in facts[0] if facts[0][name] != facts[1][name]]


def averaged(
  ensemble: Restored,
  source: Source,
  predict: Callable[[Restored, Source], Readings],
) -> dict[str, np.ndarray]:
  """Returns the means of readings over runs and orders.

  Args:
    ensemble: as `join` returns it.
    source: of the task of the first.
    predict: computes the readings of one run.

  Raises:
    UserError: where a reading has no mean, or pairs have no other order.
  """
  alone = dataclasses.replace(ensemble, others=(), symmetric=False)
  views = [*_views(source, ensemble.symmetric)]
  found = [
    predict(run, view) for run in (alone, *ensemble.others) for view in views
  ]
  for name, values in found[0].items():
    if values.dtype.kind != "f":
      raise UserError(
        f"The reading {name!r} is not a number that has a mean: predict with "
        "one --model_dir, without --symmetric."
      )
  return {name: np.mean([x[name] for x in found], axis=0) for name in found[0]}


def _views(source: Source, symmetric: bool) -> Iterator[Source]:
  yield source
  if symmetric:
    if not hasattr(source, "swapped"):
      raise UserError(
        "`symmetric` is given, but this task has no pairs: leave it out."
      )
    yield source.swapped()


def tell(
  ensemble: Restored, split: str, source: Source, readings: Readings
) -> None:
  """Prints how good the readings of a split are, where its labels are known.

  Args:
    ensemble: of sentence pairs; of other tasks nothing is said.
    split: its name.
    source: that was predicted.
    readings: of all its examples.
  """
  task = ensemble.task
  if not isinstance(task, SentencePairTask):
    return
  try:
    pairs = read_split(task.config, split, task.answers)
  except UserError:  # Nobody has to know them.
    return
  every = np.arange(len(source))
  if pairs.labels is None or [*pairs.ids] != source.ids(every):
    return
  labels = np.asarray(pairs.labels, task.answers.dtype)
  found = metrics_of(task, labels, readings)
  print(f"{split}: {scores(found)}", file=sys.stderr, flush=True)


def metrics_of(
  task: SentencePairTask, labels: np.ndarray, readings: Readings
) -> dict[str, Any]:
  """Returns the metrics of readings, with their intervals.

  Args:
    task: that they are of.
    labels: [pairs].
    readings: `probabilities` [pairs, classes], or `score` [pairs].
  """
  if "probabilities" in readings:
    least = np.finfo(np.float32).tiny
    outputs = np.log(np.maximum(readings["probabilities"], least))
  else:
    outputs = readings["score"][:, None]
  losses = np.asarray(task.loss(labels, outputs))
  found = {
    "loss": float(losses.mean(dtype=np.float64)),
    "examples_seen": len(labels),
    **task.metrics(labels, outputs),
    OF_RECORD: task.goal[0],
  }
  table = {"labels": labels, "outputs": outputs, "losses": losses}
  return {**found, INTERVALS: intervals_of(table, found)}

"""Which runs are compared: read, and refused where they do not compare."""

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from engine.certainty.statistic import Statistic, statistics_of
from engine.errors import UserError, listed, shortened
from engine.measure.terminal import OF_RECORD
from launch.pages.facts import Run
from tasks.tokens.tokenizer import as_written

_SEED = re.compile(r"seed_\d+")
_LEARNED = ("task.", "train.", "optimizer.")
# Settings that say where data are, and how they lie: not what is learned.
_PLACES = re.compile(r"train\.seed|task\..*(_file|_dir)|task\.batching")
_RECORDS = ("accuracy", "pearson", "loss")  # Of runs that name none.


@dataclasses.dataclass(frozen=True)
class Side:
  """One of two that are compared: a run, or runs that differ in their seed.

  Attributes:
    name: of it, as the user gave it.
    runs: one or more.
  """

  name: str
  runs: Sequence[Run]

  def told(self) -> str:
    """Returns the name, and the seeds where there are several."""
    if len(self.runs) == 1:
      return self.name
    return f"{self.name} ({len(self.runs)} seeds)"


def read_side(path: str) -> Side:
  """Reads a run, a directory of --seeds, or several with commas between.

  Raises:
    UserError: where there is none, or they differ in more than their seed.
  """
  directories = [
    directory for part in path.split(",") for directory in _runs_in(part)
  ]
  runs = [Run.read(directory) for directory in directories]
  seen: dict[str, str] = {}
  for directory, run in zip(directories, runs, strict=True):
    digest = run.result.get("weights_sha256", directory)
    if digest in seen:
      raise UserError(
        f"{directory} is the same run as {seen[digest]}: name each once."
      )
    seen[digest] = directory
    apart = differing(runs[0], run)
    if apart:
      raise UserError(
        f"{directory} and {directories[0]} differ in {listed(apart)}, not in "
        "their seed alone: compare them as two sides."
      )
  return Side(path, runs)


def _runs_in(path: str) -> Iterator[str]:
  """Yields the runs of a directory: itself, or one for each seed."""
  if os.path.exists(os.path.join(path, "config.yaml")) or "://" in path:
    yield path
    return
  names = sorted(os.listdir(path)) if os.path.isdir(path) else []
  found = [os.path.join(path, x) for x in names if _SEED.fullmatch(x)]
  if not found:
    raise UserError(
      f"{path} holds no run and no seed_N: name a directory that launch.train "
      "was given."
    )
  yield from found


def differing(first: Run, second: Run) -> dict[str, tuple[Any, Any]]:
  """Returns the settings of what is learned in which two runs differ.

  One that a run of an older version does not know is none of them.
  """
  return {
    name: (value, second.config[name])
    for name, value in first.config.items()
    if name.startswith(_LEARNED)
    and not _PLACES.fullmatch(name)
    and second.config.get(name, value) != value
  }


def common_split(first: Side, second: Side, split: str = "") -> str:
  """Returns the split on which both are compared: the first, if none is named.

  Raises:
    UserError: where one of them has kept nothing of it.
  """
  names = split or next(iter(first.runs[0].splits), "")
  for side in (first, second):
    for run in side.runs:
      if names and names in run.splits:
        continue
      had = {x.name: [*x.splits] for x in (first.runs[0], run)}
      split = f"the split {names!r}" if names else "any split"
      left_out = shortened("; ".join(run.left_out), 90)
      raise UserError(
        f"{run.name} has kept no examples of {split}"
        + (f", or they cannot be read ({left_out})" if left_out else "")
        + f"; evaluated are {shortened(had, 90)}: name one that both have by "
        "--split, or train it again."
      )
  return names


def check_same_examples(first: Side, second: Side, split: str) -> None:
  """Refuses runs that were evaluated on other examples.

  Raises:
    UserError: saying what differs.
  """
  reference = first.runs[0]
  ours = reference.splits[split]
  for run in (*first.runs, *second.runs):
    apart = _differences(ours, run.splits[split])
    if apart:
      raise UserError(
        f"{reference.name} and {run.name} were evaluated on other data: "
        f"{split!r} {apart}; compare runs on the same examples."
      )


def _differences(
  ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]
) -> str:
  """Says in what the examples of two evaluations differ; "" if in nothing."""
  numbers = len(ours["labels"]), len(theirs["labels"])
  if numbers[0] != numbers[1]:
    return f"has {numbers[0]:,} and {numbers[1]:,} examples"
  for name in ("ids", "labels"):
    if name in ours and name in theirs:
      apart = np.flatnonzero(ours[name] != theirs[name])
      if len(apart):
        return f"has other {name} in {len(apart):,} examples"
  texts = dict(zip(ours["worst"].tolist(), ours["texts"].tolist(), strict=True))
  for i, text in zip(theirs["worst"], theirs["texts"], strict=True):
    # Another encoder may read more of the same texts.
    if as_written(texts.get(int(i), text)) != as_written(text):
      return f"has other texts, of example {int(i)} for one"
  return ""


def metrics_of(run: Run, split: str) -> dict[str, Any]:
  """Returns what the evaluation said whose examples were kept."""
  step = int(run.splits[split]["step"])
  found = [x for x in run.lines if x["kind"] == "eval" and x["step"] == step]
  if not found:
    return {}
  first = str(run.config.get("evaluation.split", "")).split(",")[0]
  before = "" if split == first else f"{split}/"
  return {
    name.removeprefix(before): value
    for name, value in found[-1].items()
    if name.startswith(before) and ("/" in name) == bool(before)
  }


def statistics(
  first: Side, second: Side, split: str
) -> dict[str, tuple[list[Statistic], list[Statistic]]]:
  """Returns the metrics that all runs have by example, of each side."""
  each = [
    [
      statistics_of(run.splits[split], metrics_of(run, split))
      for run in side.runs
    ]
    for side in (first, second)
  ]
  names = [
    name for name in each[0][0] if all(name in x for y in each for x in y)
  ]
  return {
    name: ([x[name] for x in each[0]], [x[name] for x in each[1]])
    for name in names
  }


def metric_of_record(run: Run, split: str) -> str:
  """Returns the metric that runs of this kind are judged by."""
  metrics = metrics_of(run, split)
  known = [name for name in _RECORDS if name in metrics]
  return metrics.get(OF_RECORD) or next(iter(known), "loss")

"""Whether a run is better than another one: by test, on the same examples."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.certainty.paired import (
  Difference,
  compare_means,
  compare_one,
  examples_needed,
  verdict,
)
from engine.certainty.seeds import seeds_needed, welch
from engine.certainty.statistic import FALLING, Statistic, are_classes
from engine.errors import UserError
from launch.pages import sides
from launch.pages.sides import Side


@dataclasses.dataclass(frozen=True)
class Row:
  """How two sides differ in a metric.

  Attributes:
    metric: its name.
    by_example: for other examples, and these runs as they are.
    over_seeds: for other seeds, and these examples; None: a side has one.
  """

  metric: str
  by_example: Difference
  over_seeds: Difference | None

  @property
  def tests(self) -> list[tuple[str, Difference]]:
    """(what is random, difference) of each test."""
    found = [("examples", self.by_example)]
    return found + ([("seeds", self.over_seeds)] if self.over_seeds else [])


@dataclasses.dataclass(frozen=True)
class Flip:
  """An example that the sides call otherwise.

  Attributes:
    number: its id.
    right: how many runs of each side are right.
    change: of its loss, mean of the second side less that of the first.
    text: its content, "" where it was not kept.
  """

  number: Any
  right: tuple[int, int]
  change: float
  text: str


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Two sides, compared.

  Attributes:
    first: the one that the second is held against.
    second: likewise.
    split: on which.
    examples: its size.
    apart: settings in which they differ: name -> values.
    rows: the metric of record, then the others.
    verdict: one of three fixed sentences.
    needed: how much would show the difference seen, as words.
    flips: the largest changes first; of classes alone.
  """

  first: Side
  second: Side
  split: str
  examples: int
  apart: dict[str, tuple[Any, Any]]
  rows: Sequence[Row]
  verdict: str
  needed: Sequence[str]
  flips: Sequence[Flip]


def compare(
  first: Side, second: Side, *, split: str = "", metric: str = ""
) -> Comparison:
  """Compares two sides, example by example, and over seeds where there are.

  Args:
    first: what the second is held against.
    second: likewise.
    split: on which; "": the first one that was evaluated.
    metric: that is judged; "": the metric of record.

  Raises:
    UserError: where they do not compare.
  """
  split = sides.common_split(first, second, split)
  sides.check_same_examples(first, second, split)
  known = sides.statistics(first, second, split)
  record = metric or sides.metric_of_record(first.runs[0], split)
  if record not in known:
    names = ", ".join(known) or "none"
    raise UserError(
      f"`metric` is {record!r}, which is not known example by example (here "
      f"are {names}): name one of them by --metric."
    )
  ordered = [record, *(name for name in known if name != record)]
  rows = [_row(name, *known[name]) for name in ordered]
  judged = [x for _, x in rows[0].tests]
  return Comparison(
    first=first,
    second=second,
    split=split,
    examples=len(known[record][0][0].values),
    apart=sides.differing(first.runs[0], second.runs[0]),
    rows=rows,
    verdict=verdict(second.name, judged, falling=record in FALLING),
    needed=_needed(*known[record]),
    flips=_flips(first, second, split),
  )


def _row(
  name: str, firsts: Sequence[Statistic], seconds: Sequence[Statistic]
) -> Row:
  if len(firsts) == len(seconds) == 1:
    return Row(name, compare_one(firsts[0], seconds[0]), None)
  over_seeds = None
  if min(len(firsts), len(seconds)) > 1:
    over_seeds = welch(*([s.value() for s in x] for x in (firsts, seconds)))
  return Row(name, compare_means(firsts, seconds), over_seeds)


def _needed(
  firsts: Sequence[Statistic], seconds: Sequence[Statistic]
) -> list[str]:
  """Says how much would show the difference seen, in 4 of 5 comparisons."""
  found = []
  if min(len(firsts), len(seconds)) > 1:
    values = [[s.value() for s in x] for x in (firsts, seconds)]
    seeds = seeds_needed(values[0], values[1])
    found += [f"{seeds:,} seeds of each"] if seeds else []
  examples = examples_needed(firsts, seconds)
  return found + ([f"{examples:,} examples"] if examples else [])


def _flips(first: Side, second: Side, split: str) -> list[Flip]:
  """Returns the examples of classes that are called otherwise."""
  tables = [[run.splits[split] for run in x.runs] for x in (first, second)]
  every = [*tables[0], *tables[1]]
  if not all(map(are_classes, every)):
    return []
  right, losses = (
    [np.array([of(x) for x in side]) for side in tables]
    for of in (
      lambda x: x["outputs"].argmax(-1) == x["labels"],
      lambda x: x["losses"],
    )
  )
  shares = [x.mean(0) for x in right]
  change = losses[1].mean(0) - losses[0].mean(0)
  # Where most runs of a side are right, and most of the other are not.
  flipped = np.flatnonzero((shares[0] > 0.5) != (shares[1] > 0.5))
  texts: dict[int, str] = {}
  for table in every:
    texts |= zip(table["worst"].tolist(), table["texts"].tolist(), strict=True)
  ids = every[0].get("ids", np.arange(len(change)))
  return [
    Flip(
      number=ids[i].item(),
      right=(int(right[0][:, i].sum()), int(right[1][:, i].sum())),
      change=float(change[i]),
      text=texts.get(int(i), ""),
    )
    for i in sorted(flipped, key=lambda i: -abs(change[i]))
  ]

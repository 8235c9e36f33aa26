"""A comparison as lines of a terminal, and as a part of a page."""

import html
from collections.abc import Iterator, Sequence

from engine.certainty.paired import Difference
from engine.errors import UserError
from launch.pages import markup
from launch.pages.comparison import Comparison, Flip, compare
from launch.pages.facts import Run
from launch.pages.sides import Side

_HEADER = ("metric", "first", "second", "difference", "95 %", "p", "random")
_LONGEST = 200  # Characters of an example in a terminal.


def lines(found: Comparison, flips: int) -> Iterator[str]:
  """Yields what is said of two sides.

  Args:
    found: the comparison.
    flips: examples that are shown in each direction, at most.
  """
  yield f"first    {found.first.told()}"
  yield f"second   {found.second.told()}"
  yield f"on       {found.split}, {found.examples:,} examples, paired"
  for name, (one, other) in found.apart.items():
    yield f"setting  {name}: {one} -> {other}"
  rows = [_HEADER, *_cells(found)]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    yield "  ".join(map(str.ljust, row, widths)).rstrip()
  yield f"verdict  {verdict_line(found)}"
  if found.needed:
    yield (
      f"needed   {' or '.join(found.needed)}, to show this difference in 4 of "
      "5 comparisons"
    )
  yield from _flips(found, flips)


def verdict_line(found: Comparison) -> str:
  """Returns the verdict, by which metric and tests, and what it is not of."""
  record = found.rows[0]
  tests = "; ".join(
    f"{random}: p = {x.p:.2g}, {x.test}" for random, x in record.tests
  )
  line = f"{found.verdict} ({record.metric}; {tests})"
  if not record.over_seeds:
    line += "; an example-level test only: other seeds are not looked at"
  return line


def _cells(found: Comparison) -> list[tuple[str, ...]]:
  """Returns a row for each metric and test; the metric of record is starred."""
  rows = []
  for row in found.rows:
    name = f"{row.metric} *" if row is found.rows[0] else row.metric
    for random, x in row.tests:
      rows.append((name, *_numbers(x), random))
      name = ""
  return rows


def _numbers(x: Difference) -> tuple[str, ...]:
  low, high = x.interval
  return (
    *(f"{value:.4f}" for value in x.values),
    f"{x.difference:+.4f}",
    f"[{low:+.4f}, {high:+.4f}]",
    f"{x.p:.2g}",
  )


def _flips(found: Comparison, most: int) -> Iterator[str]:
  gained = [x for x in found.flips if x.right[1] > x.right[0]]
  lost = [x for x in found.flips if x.right[1] <= x.right[0]]
  numbers = len(found.first.runs), len(found.second.runs)
  for word, flips in (("gained", gained), ("lost", lost)):
    yield f"{word:8} {len(flips):,} examples, the largest changes first"
    for flip in flips[:most]:
      yield f"  {_told(flip, numbers)}"


def _told(flip: Flip, numbers: tuple[int, int]) -> str:
  text = flip.text or "(its text was not kept)"
  if len(text) > _LONGEST:
    text = f"{text[: _LONGEST - 3]}..."
  right = f"{flip.right[0]}/{numbers[0]} -> {flip.right[1]}/{numbers[1]}"
  return f"{flip.number}  right {right}  {text}"


def section(runs: Sequence[Run]) -> str:
  """Returns the part of a page that holds each run against the first."""
  rows, told = [], []
  for other in runs[1:]:
    first, second = (Side(x.name, [x]) for x in (runs[0], other))
    try:
      found = compare(first, second)
    except UserError as error:
      told.append(f"<p>{html.escape(str(error))}</p>")
      continue
    for i, row in enumerate(found.rows):
      _, _, *numbers = _numbers(row.by_example)
      values = [f"{x:.4f}" for x in row.by_example.values]
      words = found.verdict if not i else ""
      rows.append([other.name, row.metric, *values, *numbers, words])
  if not rows and not told:
    return ""
  header = ["run", "metric", runs[0].name, "this run", *_HEADER[3:6], "verdict"]
  about = (
    "<p>Paired by example: for other examples, and these runs as they are. "
    "The verdict is of the metric of record; <code>launch.compare</code> looks "
    "at seeds, and at the examples that changed.</p>"
  )
  table = markup.table(f"Held against {runs[0].name}", header, rows)
  return table + (about if rows else "") + "".join(told)

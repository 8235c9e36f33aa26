"""How good runs become with a part of their data: a table and a picture."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.durability.run_directory import RunDirectory
from engine.files import write_atomically, write_json
from engine.run.found import noted_data
from launch.pages import markup
from launch.pages.charts import Line, line_chart
from launch.pages.comparison import compare
from launch.pages.comparison_text import verdict_line
from launch.pages.seed_report import spread
from launch.pages.sides import (
  common_split,
  metric_of_record,
  metrics_of,
  read_side,
)


@dataclasses.dataclass(frozen=True)
class Point:
  """What runs have learned from a part of the training split.

  Attributes:
    fraction: of the training split.
    examples: in it.
    metric: by which they are judged.
    spread: as `seed_report.spread` gives it, over seeds.
  """

  fraction: float
  examples: int
  metric: str
  spread: Mapping[str, Any]


def read_curve(directories: Mapping[float, str]) -> list[Point]:
  """Reads the runs of each fraction: directories of --seeds.

  Raises:
    UserError: where one has no finished run.
  """
  points = []
  for fraction, directory in sorted(directories.items()):
    side = read_side(directory)
    split = common_split(side, side)
    metric = metric_of_record(side.runs[0], split)
    values = [float(metrics_of(run, split)[metric]) for run in side.runs]
    names = sorted(x for x in os.listdir(directory) if x.startswith("seed_"))
    data = noted_data(RunDirectory(os.path.join(directory, names[0])))
    points.append(
      Point(fraction, data["train"]["examples"], metric, spread(values))
    )
  return points


def verdicts(directories: Mapping[float, str]) -> list[str]:
  """Says of each step to more data whether it shows, by `compare`."""
  ordered = sorted(directories.items())
  return [
    f"{few:g} -> {many:g}: {verdict_line(compare(*map(read_side, paths)))}"
    for (few, one), (many, other) in zip(ordered, ordered[1:], strict=False)
    for paths in [(one, other)]
  ]


def table(points: Sequence[Point]) -> Iterator[str]:
  """Yields the curve as lines."""
  header = ("fraction", "examples", "runs", points[0].metric, "95 % of mean")
  rows = [header, *(_cells(point) for point in points)]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    yield "  ".join(map(str.ljust, row, widths)).rstrip()


def _cells(point: Point) -> tuple[str, ...]:
  interval = point.spread["interval"]
  return (
    f"{point.fraction:g}",
    f"{point.examples:,}",
    str(point.spread["runs"]),
    f"{point.spread['mean']:.4f}",
    f"[{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "-",
  )


def write(points: Sequence[Point], told: Sequence[str], directory: str) -> None:
  """Writes `curve.json` and `curve.html`, each whole or not at all."""
  values = [dataclasses.asdict(point) for point in points]
  write_json(
    os.path.join(directory, "curve.json"), {"points": values, "verdicts": told}
  )
  write_atomically(os.path.join(directory, "curve.html"), page(points, told))


def page(points: Sequence[Point], told: Sequence[str]) -> str:
  """Returns the curve as a page."""
  x = [point.examples for point in points]
  lines = [Line("mean", x, [p.spread["mean"] for p in points], dots=True)]
  if all(point.spread["interval"] for point in points):
    for k, name in ((0, "95 % of the mean, low"), (1, "high")):
      ends = [point.spread["interval"][k] for point in points]
      lines.append(Line(name, x, ends, colour=6))
  metric = points[0].metric
  chart = line_chart(metric, lines, x_label="training examples")
  header = ("fraction", "examples", "runs", metric, "95 % of mean")
  body = [
    "<h1>Is more data worth labelling?</h1>",
    markup.section("Learning curve", [chart]),
    markup.table("", header, map(_cells, points)),
    markup.table("Step by step", ["verdict"], [[line] for line in told]),
  ]
  return markup.document("Learning curve", "".join(body))

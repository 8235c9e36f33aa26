"""What a search has tried: a table, a file and a page."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from engine.files import write_atomically, write_json
from engine.measure.goal import Goal
from launch.pages import markup
from launch.pages.charts import Line, line_chart

Records = Sequence[Mapping[str, Any]]


def write(
  trials: Records, finalists: Records, directory: str, goal: Goal
) -> None:
  """Writes `search.json` and `search.html`, each whole or not at all.

  Args:
    trials: as `launch.jobs.search.Search.records` gives them.
    finalists: trial, settings and `spread` over seeds of each.
    directory: of the search.
    goal: by which trials are judged.
  """
  values = {
    "metric": goal.metric,
    "direction": "max" if goal.sign > 0 else "min",
    "trials": trials,
    "finalists": finalists,
  }
  write_json(os.path.join(directory, "search.json"), values)
  text = page(trials, finalists, goal)
  write_atomically(os.path.join(directory, "search.html"), text)


def table(trials: Records, goal: Goal) -> list[str]:
  """Returns the trials as lines, the best first."""
  ranked = _ranked(trials, goal.sign)
  rows = [_header(trials, goal.metric), *_rows(ranked)]
  return _aligned(rows)


def finalists_table(finalists: Records, goal: Goal) -> list[str]:
  """Returns the trials that were trained with several seeds, as lines."""
  return _aligned([_seed_header(goal), *map(_seed_cells, finalists)])


def page(trials: Records, finalists: Records, goal: Goal) -> str:
  """Returns the search as a page."""
  metric, ranked = goal.metric, _ranked(trials, goal.sign)
  body = [
    f"<h1>Search: {len(trials)} trials by {metric}</h1>",
    markup.table("Trials", _header(trials, metric), _rows(ranked)),
  ]
  if finalists:
    rows = map(_seed_cells, finalists)
    body.append(markup.table("With several seeds", _seed_header(goal), rows))
  body.append(markup.section("Settings", _charts(trials, metric)))
  body.append(markup.section("One after the other", _history(trials, goal)))
  return markup.document("Search", "".join(body))


def _history(trials: Records, goal: Goal) -> list[str]:
  """Draws each trial, and the best so far; and their evaluations."""
  metric, sign = goal
  done = [x for x in trials if x["state"] == "complete"]
  numbers = [x["trial"] for x in done]
  values = [x["value"] for x in done]
  best = [
    sign * max(sign * v for v in values[: i + 1]) for i in range(len(done))
  ]
  curves = [
    Line(
      f"trial {x['trial']}",
      [int(step) + 1 for step in x["evaluations"]],
      [*x["evaluations"].values()],
      colour=x["trial"],
      dots=True,
    )
    for x in trials
    if x["evaluations"]
  ]
  return [
    line_chart(
      metric,
      [
        Line("trial", numbers, values, dots=True, joined=False),
        Line("best so far", numbers, best, colour=1),
      ],
      x_label="trial",
    ),
    line_chart(f"{metric} of evaluations", curves, x_label="evaluation"),
  ]


def _charts(trials: Records, metric: str) -> list[str]:
  """Draws the value of trials over each setting that is a number."""
  done = [x for x in trials if x["state"] == "complete"]
  charts = []
  for name in dict.fromkeys(name for x in done for name in x["settings"]):
    x = [trial["settings"].get(name) for trial in done]
    if not all(_is_number(value) for value in x):
      continue
    label = name
    if min(x) > 0 and max(x) >= 20 * min(x):
      x, label = [math.log10(value) for value in x], f"log10 of {name}"
    line = Line(
      "", x, [trial["value"] for trial in done], dots=True, joined=False
    )
    charts.append(line_chart(metric, [line], x_label=label))
  return charts


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _ranked(trials: Records, sign: int) -> Records:
  """The best first; then those without a value, in their order."""
  known = lambda x: x["state"] == "complete"
  key = lambda x: (not known(x), -sign * x["value"] if known(x) else x["trial"])
  return sorted(trials, key=key)


def _header(trials: Records, metric: str) -> list[str]:
  return ["trial", "state", metric, *_names(trials)]


def _names(trials: Records) -> list[str]:
  return sorted({name for x in trials for name in x["settings"]})


def _rows(trials: Records) -> list[list[str]]:
  names = _names(trials)
  rows = []
  for trial in trials:
    value = trial["value"] if trial["state"] == "complete" else None
    settings = (trial["settings"].get(name, "-") for name in names)
    rows.append(
      [
        str(trial["trial"]),
        trial["state"],
        "-" if value is None else f"{value:.4f}",
        *(f"{x:.4g}" if isinstance(x, float) else str(x) for x in settings),
      ]
    )
  return rows


def _seed_header(goal: Goal) -> list[str]:
  return ["trial", "runs", f"mean {goal.metric}", "95 % of mean"]


def _seed_cells(finalist: Mapping[str, Any]) -> list[str]:
  spread = finalist["spread"]
  interval = spread["interval"]
  return [
    str(finalist["trial"]),
    str(spread["runs"]),
    f"{spread['mean']:.4f}",
    f"[{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "-",
  ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
  full = max(map(len, rows))
  rows = [[*row, *[""] * (full - len(row))] for row in rows]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]

"""How runs that differ in their seed compare: a file and a table."""

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from engine.settings import flatten

# A run has collapsed that calls (nearly) everything one class or one score.
NEAR_MAJORITY = 0.01  # Accuracy over that of the most frequent class.
NEAR_ZERO = 0.1  # Absolute correlation.
_CORRELATIONS = ("pearson", "spearman")
_CONSTANT = ("examples_seen", "majority")  # Of the data, not of a run.


def summarize(
  results: Mapping[int, Mapping[str, Any]],
  notes: Mapping[int, str],
  command: str = "",
) -> dict[str, Any]:
  """Returns what `seeds.json` holds.

  Args:
    results: seed -> the result of its run.
    notes: seed -> why it has none.
    command: that trained them.
  """
  runs = []
  for seed in sorted({*results, *notes}):
    run: dict[str, Any] = {"seed": seed, "directory": f"seed_{seed}"}
    if seed in notes:
      runs.append({**run, "finished": False, "reason": notes[seed]})
      continue
    result = results[seed]
    runs.append(
      {
        **run,
        "finished": True,
        "global_step": result["global_step"],
        "stopped_early": result["stopped_early"],
        "collapsed": collapse_of(result["eval"]),
        "weights_sha256": result["weights_sha256"],
        "metrics": _numbers(result["eval"]),
      }
    )
  finished = [run for run in runs if run["finished"]]
  sound = [run for run in finished if not run["collapsed"]]
  return {
    "runs": runs,
    "collapsed": [run["seed"] for run in finished if run["collapsed"]],
    "collapsed_means": {
      "accuracy_over_majority_at_most": NEAR_MAJORITY,
      "or_absolute_correlation_below": NEAR_ZERO,
    },
    "metrics": _spreads(finished),
    "metrics_without_collapsed": _spreads(sound),
    "command": command,
  }


def collapse_of(evaluation: Mapping[str, Any]) -> str:
  """Why a run counts as collapsed; "" where it has learned something."""
  accuracy, majority = (evaluation.get(x) for x in ("accuracy", "majority"))
  if accuracy is not None and majority is not None:
    if accuracy <= majority + NEAR_MAJORITY:
      return f"accuracy {accuracy:.4f}, the majority class has {majority:.4f}"
    return ""
  for name in _CORRELATIONS:
    if name in evaluation:
      value = evaluation[name]
      if value is None or math.isnan(value):
        return f"{name} is undefined"
      return f"{name} {value:.4f}" if abs(value) < NEAR_ZERO else ""
  return ""


def spread(values: Sequence[float]) -> dict[str, Any]:
  """Mean, deviation and 95 % interval of the mean, of independent runs.

  The interval is Student's, since runs are few; of one run there is none.
  """
  # Imported here: SciPy takes a moment.
  from scipy import stats

  runs = len(values)
  if runs < 2:
    return {
      "runs": runs,
      "mean": values[0],
      "deviation": None,
      "interval": None,
    }
  mean, deviation = statistics.fmean(values), statistics.stdev(values)
  half = float(stats.t.ppf(0.975, runs - 1)) * deviation / math.sqrt(runs)
  return {
    "runs": runs,
    "mean": mean,
    "deviation": deviation,
    "interval": [mean - half, mean + half],
  }


def write(report: Mapping[str, Any], model_dir: str) -> None:
  """Writes `seeds.json`, whole or not at all."""
  from engine.files import write_json

  write_json(os.path.join(model_dir, "seeds.json"), report)


def table(report: Mapping[str, Any]) -> list[str]:
  """Returns the report as lines: a run each, then what they have in common.

  What lies deeper, as metrics of each class and calibration, is in
  `seeds.json` alone: lines are for a terminal.
  """
  own = lambda name: name.rpartition("/")[2]  # A split's name may have dots.
  names = [name for name in report["metrics"] if "." not in own(name)]
  rows = [["seed", *names, ""]]
  for run in report["runs"]:
    metrics = run.get("metrics", {})
    rows.append([str(run["seed"]), *_cells(names, metrics), _remark(run)])
  rows += _summary_rows(names, report["metrics"], "")
  if report["collapsed"] and report["metrics_without_collapsed"]:
    rows += _summary_rows(
      names, report["metrics_without_collapsed"], "without the collapsed"
    )
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
  if report["collapsed"]:
    lines.append(
      f"collapsed: {', '.join(map(str, report['collapsed']))} (accuracy at "
      f"most {NEAR_MAJORITY:g} over the majority class, or a correlation "
      f"below {NEAR_ZERO:g})"
    )
  return lines


def _summary_rows(
  names: Sequence[str], spreads: Mapping[str, Any], remark: str
) -> list[list[str]]:
  interval = {
    name: (x["interval"][1] - x["interval"][0]) / 2
    for name, x in spreads.items()
    if x["interval"]
  }
  columns = {
    "mean": {k: x["mean"] for k, x in spreads.items()},
    "deviation": {k: x["deviation"] for k, x in spreads.items()},
    "95 % of mean +-": interval,
  }
  return [[k, *_cells(names, v), remark] for k, v in columns.items()]


def _remark(run: Mapping[str, Any]) -> str:
  if not run["finished"]:
    return run["reason"]
  remarks = []
  if run["collapsed"]:
    remarks.append(f"collapsed: {run['collapsed']}")
  if run["stopped_early"]:
    remarks.append(f"stopped early at step {run['global_step']}")
  return "; ".join(remarks)


def _cells(names: Sequence[str], values: Mapping[str, Any]) -> list[str]:
  return [
    "-" if values.get(name) is None else f"{values[name]:.4f}" for name in names
  ]


def _numbers(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
  """The metrics that are numbers; None: undefined."""
  return {
    name: None if value != value else value
    for name, value in flatten(evaluation).items()
    if isinstance(value, int | float) and name not in _CONSTANT
  }


def _spreads(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Metric -> its spread over the runs for which it is defined."""
  names = dict.fromkeys(name for run in runs for name in run["metrics"])
  values = {
    name: [x for run in runs if (x := run["metrics"].get(name)) is not None]
    for name in names
  }
  return {name: spread(found) for name, found in values.items() if found}

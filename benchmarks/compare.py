"""What changed between two records: python -m benchmarks.compare OLD NEW.

Each row that both have gets the ratio new / old with an interval, and a
verdict. A change inside the interval is no change.

Processes are what is compared where both records have several of a row, since
the windows of a process share its luck (memory layout, neighbours; Kalibera
and Jones, Rigorous Benchmarking in Reasonable Time, ISMM 2013): Welch's t
interval of the difference of the logarithms of their medians. Where there is
one process its windows are drawn again (bootstrap, fixed seed); that knows
nothing of the luck, and is marked. The intervals hold for all rows together
(Bonferroni): two records of the same code differ anywhere in 1 of 20 cases.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness.record import read_record
from benchmarks.harness.statistics import medians
from engine.errors import UserError
from engine.settings import flatten
from launch.command.door import run_door

MISTAKE = 0.05  # How often any row may seem to differ where none does.
HARDWARE = ("cpu", "vector_units", "cores", "gpus", "tpus")
NOTED = ("commit", "flags", "versions", "threads")
WORDS = {"bytes": ("smaller", "larger")}  # Where "faster" says nothing.


class Change(NamedTuple):
  """New / old of one row, with its interval and what that means."""

  ratio: float
  low: float
  high: float
  verdict: str


def main(old: str, new: str) -> None:
  """Prints the verdicts."""
  print("\n".join(report(old, new)))


def report(old_path: str, new_path: str) -> list[str]:
  """Compares two files; returns the lines to print.

  Raises:
    UserError: where they cannot be read or compared.
  """
  old, new = read_record(old_path), read_record(new_path)
  check_comparable(old, new)
  before, after = ({r["name"]: r for r in x["rows"]} for x in (old, new))
  common = [name for name in before if name in after]
  if not common:
    raise UserError(
      f"{old_path} and {new_path} have no row in common: the first row of one "
      f"is {next(iter(before), None)!r}, of the other "
      f"{next(iter(after), None)!r}."
    )
  lines = [f"{name} differs: {both}" for name, both in noted(old, new).items()]
  lines.append(
    f"new / old [{1 - MISTAKE:.0%} interval, all rows]  verdict        row"
  )
  marked = False
  for name in common:
    row = before[name]
    samples = [x[name]["summary"]["samples"] for x in (before, after)]
    change = compare(row, after[name], mistake=MISTAKE / len(common))
    one = "*" if min(map(len, samples)) < 2 else ""
    marked |= bool(one)
    medians_of = " -> ".join(
      _number(x[name]["summary"]["median"]) for x in (before, after)
    )
    interval = f"[{change.low:.3f}, {change.high:.3f}]"
    lines.append(
      f"{change.ratio:9.3f} {interval:20}{'':8}{change.verdict + one:14} "
      f"{name}: {medians_of} {row['unit']}"
    )
  if marked:
    lines.append(
      "* one process: its windows do not tell what another process would give."
    )
  for path, rows, others in (
    (old_path, before, after),
    (new_path, after, before),
  ):
    lines += [
      f"only in {os.path.basename(path)}: {name}"
      for name in rows
      if name not in others
    ]
  return lines


def check_comparable(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
  """Refuses records of different benchmarks or hardware.

  Raises:
    UserError: naming each field that differs.
  """
  fields = {"benchmark": (old["benchmark"], new["benchmark"])}
  for name in HARDWARE:
    fields[f"hardware.{name}"] = tuple(
      x["hardware"].get(name) for x in (old, new)
    )
  different = [
    f"{name}: {a!r} -> {b!r}" for name, (a, b) in fields.items() if a != b
  ]
  if different:
    raise UserError(
      f"The records cannot be compared: {'; '.join(different)}. Measure both "
      "with one benchmark on one machine."
    )


def noted(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
  """What else differs, and may be why the rows do: name -> both values."""
  sides = [
    flatten({name: x[name] for name in NOTED if name in x}) for x in (old, new)
  ]
  return {
    name: f"{sides[0].get(name)!r} -> {sides[1].get(name)!r}"
    for name in sorted({*sides[0], *sides[1]} - {"flags.output_dir"})
    if sides[0].get(name) != sides[1].get(name)
  }


def compare(
  old: Mapping[str, Any], new: Mapping[str, Any], *, mistake: float = MISTAKE
) -> Change:
  """Compares one row of two records.

  Args:
    old: the row before.
    new: the row after.
    mistake: how often the interval of the ratio may miss it.

  Raises:
    UserError: where they have different units, or are not above zero.
  """
  if (old["unit"], old["better"]) != (new["unit"], new["better"]):
    raise UserError(
      f"`{old['name']}` is in {old['unit']} ({old['better']} is better) in one "
      f"record, and in {new['unit']} ({new['better']}) in the other: measure "
      "both with one version."
    )
  before, after = old["summary"]["samples"], new["summary"]["samples"]
  if min(x for group in (*before, *after) for x in group) <= 0:
    raise UserError(
      f"`{old['name']}` has samples that are not above 0: there is no ratio."
    )
  ratio = _pooled(after) / _pooled(before)
  if min(len(before), len(after)) > 1:
    low, high = _welch(before, after, mistake)
  else:
    drawn = medians(after, seed=1) / medians(before, seed=2)
    low, high = np.quantile(drawn, [mistake / 2, 1 - mistake / 2])
  verdict = "no change"
  if not low <= 1 <= high:
    better, worse = WORDS.get(old["unit"], ("faster", "slower"))
    rises = old["better"] == "higher"
    verdict = better if (low > 1) == rises else worse
  return Change(ratio, float(low), float(high), verdict)


def _welch(before: list, after: list, mistake: float) -> tuple[float, float]:
  """Welch's interval of the ratio of the typical process."""
  # Imported here: it takes a second.
  from scipy import stats

  logs = [
    np.log([np.median(group) for group in groups]) for groups in (after, before)
  ]
  if not any(np.ptp(log) for log in logs):
    exact = float(np.exp(logs[0][0] - logs[1][0]))
    return exact, exact
  interval = stats.ttest_ind(*logs, equal_var=False).confidence_interval(
    1 - mistake
  )
  return float(np.exp(interval.low)), float(np.exp(interval.high))


def _pooled(groups: list) -> float:
  return float(np.median(np.concatenate(groups)))


def _number(value: float) -> str:
  return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


if __name__ == "__main__":
  run_door(
    main,
    "Says what changed between two records of a benchmark.",
    files=["OLD.json", "NEW.json"],
  )

"""Draws a record: python -m benchmarks.picture RESULT.json.

Horizontal bars of medians with their intervals. Each encoder (a row's `panel`)
has a panel with a scale of its own. Dark bars are the best one, and those whose
interval touches its.
"""

import os
from typing import Any

from benchmarks.harness.record import read_record
from engine.errors import UserError
from launch.command.door import run_door

DARK, LIGHT = "#1f6f8b", "#9fc3d1"


def main(path: str) -> None:
  """Draws the picture next to the record."""
  print(draw(path))


def draw(path: str) -> str:
  """Draws the rows that share the unit of the first; returns the PNG's path.

  Raises:
    UserError: where there is no record to draw.
  """
  record = read_record(path)
  if not record["rows"]:
    raise UserError(f"{path} has no rows to draw: measure again.")
  # Imported behind the checks, and without a screen.
  import matplotlib

  matplotlib.use("Agg")
  from matplotlib import pyplot

  unit = record["rows"][0]["unit"]
  panels: dict[str, list[dict[str, Any]]] = {}
  for row in record["rows"]:
    if row["unit"] == unit:
      panels.setdefault(row.get("panel", ""), []).append(row)
  bars = [len(rows) for rows in panels.values()]
  figure, axes = pyplot.subplots(
    len(panels),
    figsize=(9, 1.5 + 0.34 * sum(bars) + 0.8 * len(bars)),
    gridspec_kw={"height_ratios": [n + 0.6 for n in bars]},
    squeeze=False,
    layout="constrained",
  )
  for axis, (panel, rows) in zip(axes[:, 0], panels.items(), strict=True):
    _panel(axis, rows)
    axis.set_title(_short(panel), loc="left", fontweight="bold", fontsize=10)
  axes[-1, 0].set_xlabel(f"{unit}: median, 95 % interval")
  hardware = record["hardware"]
  devices = ", ".join(hardware.get("gpus") or []) or (
    f"{hardware['cores']} cores of {hardware['cpu']} "
    f"({', '.join(hardware.get('vector_units') or ['scalar'])})"
  )
  figure.suptitle(
    record.get("title", record["benchmark"]), fontsize=13, fontweight="bold"
  )
  figure.supxlabel(
    f"{devices}, {str(record.get('date'))[:10]}, commit {record.get('commit')}",
    fontsize=8,
    color="0.35",
  )
  picture = os.path.splitext(path)[0] + ".png"
  figure.savefig(picture, dpi=150)
  pyplot.close(figure)
  return picture


def _panel(axis: Any, rows: list[dict[str, Any]]) -> None:
  """Draws the bars of one panel, the first on top."""
  best = max if rows[0]["better"] == "higher" else min
  top = best((row["summary"] for row in rows), key=lambda x: x["median"])
  reach = max(row["summary"]["interval"][1] for row in rows)
  for place, row in enumerate(rows):
    found = row["summary"]
    median, (low, high) = found["median"], found["interval"]
    touches = low <= top["interval"][1] and top["interval"][0] <= high
    axis.barh(
      place,
      median,
      height=0.68,
      color=DARK if touches else LIGHT,
      xerr=[[max(0.0, median - low)], [max(0.0, high - median)]],
      error_kw={"ecolor": "0.2", "capsize": 3, "elinewidth": 1.2},
    )
    axis.text(
      max(high, median) + 0.015 * reach,
      place,
      f"{median:#.3g}" if median < 100 else f"{median:,.0f}",
      va="center",
      fontsize=9,
    )
  axis.set_yticks(
    range(len(rows)), [row.get("label", row["name"]) for row in rows]
  )
  axis.tick_params(axis="y", length=0, labelsize=9)
  axis.set_ylim(len(rows) - 0.4, -0.6)
  axis.set_xlim(0, reach * 1.14)
  axis.spines[["top", "right", "left"]].set_visible(False)
  axis.grid(axis="x", color="0.9")
  axis.set_axisbelow(True)


def _short(panel: str) -> str:
  """An encoder's name, or the last part of its directory."""
  return os.path.basename(panel.rstrip("/"))


if __name__ == "__main__":
  run_door(main, "Draws the record of a benchmark.", files=["RESULT.json"])

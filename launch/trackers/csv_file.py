"""The log points of a run as CSV: --action=launch.trackers.csv_file:CsvFile."""

import csv
import os
from collections.abc import Mapping
from typing import Any

from engine.task import Watcher
from launch.trackers.numbers import numbers_of


class CsvFile(Watcher):
  """Writes `train.csv` and `eval.csv` into the run directory.

  A row has the step, and the numbers of the first point: what a later point has
  more is left out. After a stop the files are written on; a step that came
  before has a second row.
  """

  def begin(self, directory: str, config: Mapping[str, Any], step: int) -> None:
    self._directory = directory

  def log(self, kind: str, step: int, point: Mapping[str, Any]) -> None:
    path = os.path.join(self._directory, f"{kind}.csv")
    row = {"step": step, **numbers_of(point)}
    names = list(row)
    if os.path.exists(path):
      with open(path, newline="") as file:
        names = next(csv.reader(file))
    is_new = not os.path.exists(path)
    with open(path, "a", newline="") as file:
      writer = csv.DictWriter(file, names, extrasaction="ignore")
      if is_new:
        writer.writeheader()
      writer.writerow(row)

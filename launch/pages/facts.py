"""A run as its files say it is, finished or not."""

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from engine.durability.committer import covers
from engine.durability.run_directory import RunDirectory
from engine.errors import Unreadable, UserError
from engine.files import DISK_ERRORS
from engine.formats import NUMBER
from engine.lines.cover import Cover
from engine.lines.reading import read_counted, read_jsonl
from engine.measure import per_example as examples
from engine.measure.journal import POINT
from engine.settings import flatten
from launch.pages.overfitting import overfitting
from tasks.calibration import read_calibration
from tasks.sentence_pair import read_classes


@dataclasses.dataclass(frozen=True)
class Run:
  """What the directory of a run says.

  Attributes:
    name: of the directory.
    config: dotted name of a setting -> value.
    lines: of `metrics.jsonl`.
    result: of the finished run; {} while it goes on.
    splits: name of an evaluated split -> its `engine.measure.per_example`.
    classes: names of the classes; none for a score, or where no name is known.
    left_out: what of its files cannot be read, and why.
    calibration: as `tasks.calibration` keeps it; {} where there is none.
    when: the day and minute (UTC) of its last log point; "" if nobody knows.
  """

  name: str
  config: Mapping[str, Any]
  lines: Sequence[Mapping[str, Any]]
  result: Mapping[str, Any]
  splits: Mapping[str, Mapping[str, np.ndarray]]
  classes: Sequence[str]
  left_out: Sequence[str] = ()
  calibration: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  when: str = ""

  @classmethod
  def read(cls, directory: str) -> "Run":
    """Reads a run, finished or not.

    Raises:
      UserError: where the directory holds none.
    """
    kept = RunDirectory(directory)
    values = kept.read_config()
    if values is None:
      raise UserError(f"{directory} holds no run: there is no config.yaml.")
    config = flatten(values)
    left_out: list[str] = []

    def found(read: Callable[[], Any], otherwise: Any) -> Any:
      """What one file says; a page leaves out what cannot be read."""
      try:
        return read() or otherwise
      except Unreadable as error:
        left_out.append(error.brief)
        return otherwise

    log = os.path.join(directory, "metrics.jsonl")
    noted = found(lambda: _covers(kept), [])
    lines, lost = found(lambda: read_counted(log, POINT, noted), ([], 0))
    if lost:
      left_out.append(f"{lost} damaged or missing line(s) of metrics.jsonl")
    names = str(config.get("evaluation.split", "")).split(",")
    splits = {
      name: found(functools.partial(examples.read, directory, name), None)
      for name in names
    }
    assets = os.path.join(directory, "assets")
    return cls(
      name=os.path.basename(os.path.abspath(directory)),
      config=config,
      lines=lines,
      result=found(kept.result, {}),
      splits={name: table for name, table in splits.items() if table},
      classes=found(lambda: read_classes(assets), ()),
      left_out=left_out,
      calibration=found(lambda: read_calibration(directory), {}),
      when=_when(log),
    )

  @property
  def overfitting(self) -> str:
    """As `launch.pages.overfitting` says it."""
    return overfitting(self.lines)

  def points(self, kind: str, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of a number in the log points of a kind."""
    found = [
      (line["step"], line[name])
      for line in self.lines
      if line["kind"] == kind and isinstance(line.get(name), int | float)
    ]
    return [step for step, _ in found], [value for _, value in found]


def read_runs(directories: Sequence[str]) -> list[Run]:
  """Reads runs, and gives them names that are all different.

  Raises:
    UserError: where a directory holds none.
  """
  runs = [Run.read(directory) for directory in directories]
  paths = [os.path.abspath(x).split(os.sep) for x in directories]
  for depth in range(2, max(map(len, paths), default=0) + 1):
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
      return runs
    runs = [
      run
      if names.count(run.name) == 1
      else dataclasses.replace(run, name="/".join(path[-depth:]))
      for run, path in zip(runs, paths, strict=True)
    ]
  return [
    dataclasses.replace(run, name=f"{run.name} ({i})") if i else run
    for i, run in enumerate(runs)
  ]


def _when(path: str) -> str:
  """Returns when a file was written last; "" where that is not known."""
  try:
    seconds = tf.io.gfile.stat(path).mtime_nsec / 1e9
  except DISK_ERRORS:
    return ""
  return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _covers(directory: RunDirectory) -> list[Cover]:
  """What the checkpoints of a run have noted of its log points.

  A run that went back has written those behind its step once more.
  """
  shape = {"step": int, "time?": NUMBER}
  starts = read_jsonl(directory.file("restarts.jsonl"), shape)
  step, when = 0, 0.0
  for start in starts:
    if "time" in start:
      step, when = start["step"], start["time"]
  return covers(
    directory.checkpoints,
    "metrics.jsonl",
    lambda x: x.step <= step or x.time >= when,
  )


def overfitting_of(directory: str) -> str:
  """Says whether a run has overfitted; "" where its log cannot be read."""
  try:
    lines, _ = read_counted(os.path.join(directory, "metrics.jsonl"), POINT)
  except Unreadable:
    return ""
  return overfitting(lines)

"""How often a run was started, and what its ends have cost."""

import collections
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.formats import tell_once
from engine.lines.line_file import LineFile
from engine.lines.reading import read_counted
from engine.loop.trainer import Trainer
from engine.measure.journal import Journal
from engine.measure.ledger import SECONDS, WORK, Ledger, Work

STARTS = "restarts.jsonl"
_LOGS = ("metrics.jsonl", "example_ids.jsonl", STARTS)
_SHAPE = {
  "step": int,
  "lost_to_restart?": int | float,
  "time?": int | float,
  "ledger?": SECONDS,
  "work?": WORK,
  "lost?": {str: int},
  "committed?": bool,
}


class StartLog:
  """How often the run was started, and what its ends have cost.

  A line for each start: a process that is killed before its first log point
  leaves no other trace of what was lost before it. And one for each stop that
  was asked for, so that what lies behind the last log point is not lost.

  Attributes:
    number: starts before this one.
    earlier_seconds: what earlier processes booked; what they did behind the
      restored checkpoint counts as lost.
    earlier_work: what their timed steps worked on.
    lost: name of a log -> how many of its lines are damaged or gone, over all
      starts.
  """

  def __init__(
    self,
    path: str,
    log: Journal,
    *,
    began: float,
    writes: bool,
    lost: Mapping[str, int] = MappingProxyType({}),
  ):
    """Reads the starts, and adds this one.

    Args:
      path: of the file.
      log: the journal, at the restored step.
      began: time at which this process started, in seconds since 1970.
      writes: false for a worker that only reads.
      lost: lines of other logs that this start has missed.
    """
    lines, damaged = read_counted(path, _SHAPE, set_aside=writes)
    starts = [line for line in lines if "lost_to_restart" in line]
    stops = [line for line in lines if "ledger" in line]
    if log.step and not starts and not damaged:
      damaged = 1  # One at least, that which made the checkpoint.
      tell_once(
        path, f"{path}: the earlier starts are gone, and their seconds."
      )
    missed = {k: n for k, n in {**lost, STARTS: damaged}.items() if n}
    counts: collections.Counter[str] = collections.Counter(missed)
    for start in starts:
      counts += collections.Counter(start.get("lost", {}))
    self.lost = {name: counts[name] for name in _LOGS if counts[name]}
    booked = [line for line in log.lines if "ledger" in line]
    behind = [line for line in log.dropped if "ledger" in line]
    booked += [stop for stop in stops if stop["step"] <= log.step]
    behind += [stop for stop in stops if stop["step"] > log.step]
    last: dict[str, Any] = max(booked, key=_age, default={"ledger": {}})
    seconds = dict(last["ledger"])
    lost_seconds = max(
      [seconds.get("lost_to_restart", 0.0)]
      + [start["lost_to_restart"] for start in starts]
    )
    if behind:
      spent = max(behind, key=_age)["ledger"]
      done = {**dict.fromkeys(spent, 0.0), **seconds}
      lost_seconds += sum(
        spent[bucket] - done[bucket]
        for bucket in spent
        if bucket != "lost_to_restart"
      )
    self.number = len(starts)
    self.earlier_seconds = {**seconds, "lost_to_restart": lost_seconds}
    work = last.get("work", {})
    # An older version counted no operations, or others.
    if work and "executed_flops" not in work:
      work = {**work, "flops": None, "executed_flops": None}
    self.earlier_work = Work.read(work)
    # Such a version noted no time either: then the run begins here.
    self._began = starts[0].get("time", began) if starts else began
    self._file = None
    if writes:
      kept = [x for x in lines if "ledger" not in x or x["step"] <= log.step]
      start = {
        "step": log.step,
        "lost_to_restart": lost_seconds,
        "time": began,
        "committed": log.step > 0,
      }
      if missed:
        start["lost"] = missed
      self._file = LineFile(path, [*kept, start])

  def committed(self, step: int) -> None:
    """Notes that there is a checkpoint: from now on one is missed."""
    if self._file:
      self._file.append({"step": step, "committed": True})

  def stopped(self, step: int, trainer: Trainer, ledger: Ledger) -> None:
    """Notes what is booked where the run stops as it was told to."""
    if self._file:
      work = dataclasses.asdict(trainer.work)
      self._file.append({"step": step, "work": work, "ledger": ledger.totals()})

  def down_seconds(self, booked: Mapping[str, float], now: float) -> float:
    """Seconds of the run that no process has booked.

    Between two processes, and in the end of one that was killed: behind its
    last log point it left no trace.

    Args:
      booked: seconds of each bucket, over all processes of the run.
      now: seconds since 1970.
    """
    return max(0.0, now - self._began - sum(booked.values()))


def have_been_committed(path: str) -> bool | None:
  """Whether the starts of a run know of checkpoints; None: they cannot tell."""
  lines, lost = read_counted(path, {"step": int})
  starts = [line for line in lines if "lost_to_restart" in line]
  # Older versions noted neither, or not that there was none.
  if lost or not starts or not all("committed" in line for line in starts):
    return any(line["step"] > 0 for line in lines) or None
  return any(line.get("committed") for line in lines)


def _age(line: Mapping[str, Any]) -> float:
  """What all processes had booked when a line was written."""
  return sum(line["ledger"].values())

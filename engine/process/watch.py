"""When a rank stands still, and how often a job is started again.

Both are fed with times, records and steps: they look at nothing themselves.
"""

from collections.abc import Mapping
from typing import Any

LOOK = 1.0  # Seconds between two looks whether a rank moves, at most.
# Phases that report nothing for long.
BUSY = ("start_up", "compile", "checkpoint")
_MEETING = "meeting"  # It waits for other workers, within its own time-out.
_CPU = 0.05  # Seconds of CPU time within a `LOOK` that count as a move.


class Watch:
  """Judges, from one look after the other, whether a rank stands still."""

  def __init__(self, *, stall_timeout: float):
    """Initializes the watch.

    Args:
      stall_timeout: seconds without a move after which a rank is frozen; three
        times the longest pause between two of its records, if that is more.
    """
    self._stall_timeout = stall_timeout
    self._longest = 0.0
    self._now: float | None = None
    self._cpu: tuple[float, float] | None = None  # When, and how many seconds.
    self.record: Mapping[str, Any] = {}
    self.still = 0.0  # Seconds since the last move.
    self.stopped = False  # By SIGSTOP.

  @property
  def phase(self) -> str:
    """What the rank did last."""
    return self.record.get("phase", "start_up")

  @property
  def step(self) -> int:
    """The step that it has reached."""
    return self.record.get("step", 0)

  @property
  def frozen(self) -> bool:
    """Whether it stands still for too long."""
    return self.still >= max(self._stall_timeout, 3 * self._longest)

  def look(
    self,
    *,
    now: float,
    record: Mapping[str, Any] | None,
    cpu: float | None = None,
    stopped: bool = False,
  ) -> bool:
    """Takes a look.

    Args:
      now: seconds of any clock.
      record: of the progress file; None if it cannot be read.
      cpu: seconds of CPU time of the rank so far, if known.
      stopped: whether the process is stopped by a signal.

    Returns:
      Whether the rank is frozen.
    """
    # Who did not look for long was stopped too: that time does not count.
    gap = 0.0 if self._now is None else now - self._now
    self.still += min(gap, self._stall_timeout / 4)
    self._now, self.stopped = now, stopped
    moved = self._computes(now, cpu) and self.phase in BUSY
    moved |= self.phase == _MEETING and not stopped
    if record is not None and record != self.record:
      if self.phase not in (*BUSY, _MEETING):
        self._longest = max(self._longest, self.still)
      self.record, moved = record, True
    if moved:
      self.still = 0.0
    return self.frozen

  def _computes(self, now: float, cpu: float | None) -> bool:
    """Whether CPU time grows faster than that of an idle process."""
    if cpu is None:
      self._cpu = None
      return False
    since, before = self._cpu or (now, cpu)
    grew = abs(cpu - before) >= _CPU
    if grew or not self._cpu or now - since >= LOOK:
      self._cpu = now, cpu
    return grew


class Restarts:
  """Counts restarts in a row that did not help."""

  def __init__(self, most: int):
    """Begins with none; `most` are allowed in a row without progress."""
    self.most = most
    self.count = 0
    self.total = 0
    self._best = -1

  def next(self, step: int) -> float | None:
    """Asks for another life.

    Args:
      step: the largest that the last life has reached.

    Returns:
      Seconds to wait before it; None if there is none.
    """
    if step > self._best:
      self._best, self.count = step, 0
    if self.count >= self.most:
      return None
    self.count += 1
    self.total += 1
    return min(30.0, 0.5 * 2 ** min(self.count - 1, 10))

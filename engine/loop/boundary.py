"""What all workers decide together between two device loops."""

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from engine.cluster.peers import gathering
from engine.cluster.strategies import workers_of
from engine.errors import StopRequested
from engine.process.preemption import Notices
from engine.process.progress import Progress

_SIZE = 96  # Bytes of a reason: what is gathered has one shape on all workers.
# Loops within the time of grace. One is given to the device before the one that
# runs has ended, and where several workers decide, one more.
_LOOKS = 8


class Boundary:
  """Ends the loops of all workers at the same step once one is told to stop.

  Loops are short enough for a look at the notices within the time of grace.
  How short depends on the slowest worker, so that all make the same loops.

  Where the device has steps to do, workers ask at one look and hear at the next
  one what was said: so the question waits for the device, and nobody else does.
  """

  def __init__(
    self,
    *,
    strategy: tf.distribute.Strategy,
    grace: float,
    notices: Notices | None = None,
    progress: Progress | None = None,
  ):
    """Initializes the boundary.

    Args:
      strategy: whose workers decide.
      grace: seconds from a notice to the end of the process.
      notices: of this process; none if nothing may stop it.
      progress: where each look is noted.
    """
    self._strategy = strategy
    self._workers = workers_of(strategy)
    self._notices = notices
    self._progress = progress or Progress("")
    self._pace = Pace(grace=grace)
    self._asked: Callable[[], np.ndarray] | None = None

  def limit(self, steps: int) -> int:
    """Returns how many of `steps` may run before the next look.

    0: one may, and no other may be given to the device meanwhile.
    """
    return self._pace.limit(steps)

  def measured(self, steps: int, seconds: float) -> None:
    """Notes what a device loop took."""
    self._pace.measured(steps, seconds)

  def check(self, step: int | None = None, *, ahead: bool = False) -> None:
    """Ends the loop here if a worker was told to stop.

    Args:
      step: the global step that is reached; None in an evaluation.
      ahead: whether the device has something to do; on all workers alike.

    Raises:
      StopRequested: on all workers alike.
    """
    reached: dict[str, Any] = {} if step is None else {"step": step}
    self._progress.report(**reached)
    reason = self._notices.reason if self._notices else ""
    if len(self._workers) > 1:
      asked, self._asked = self._asked, self._ask(reason)
      if not ahead:
        asked, self._asked = self._asked, None
      reason = self._hear(asked()) if asked else ""
    if reason:
      raise StopRequested(reason)

  def _ask(self, reason: str) -> Callable[[], np.ndarray]:
    """Tells the other workers the own reason and pace, and asks for theirs."""
    words = reason.encode()[:_SIZE].ljust(_SIZE, b"\0")
    own = np.array([self._pace.own, *words], np.float64)
    return gathering(self._strategy, own)

  def _hear(self, rows: np.ndarray) -> str:
    """Takes the pace of the slowest; returns the first reason of all."""
    self._pace.agreed = float(rows[:, 0].max())
    for i, row in enumerate(rows[:, 1:]):
      words = bytes(row.astype(np.uint8)).rstrip(b"\0")
      if words:
        told = words.decode(errors="replace")
        return f"{told} (worker {i}, {self._workers[i]})"
    return ""


class Pace:
  """How many steps may run before the next look at the notices.

  Attributes:
    agreed: seconds of a step of the slowest worker, once there was a vote.
  """

  def __init__(self, *, grace: float):
    """Initializes the pace.

    Args:
      grace: seconds from a notice to the end of the process.
    """
    self.agreed: float | None = None
    self._grace = grace
    self._recent: collections.deque[float] = collections.deque(maxlen=2)

  @property
  def own(self) -> float:
    """Seconds of a step, the slower of the last two; 0 while unknown."""
    return max(self._recent, default=0.0)

  def measured(self, steps: int, seconds: float) -> None:
    """Notes what `steps` took."""
    self._recent.append(seconds / steps)

  def limit(self, steps: int) -> int:
    """Returns how many of `steps` may run before the next look; maybe none."""
    seconds = self.own if self.agreed is None else self.agreed
    return min(steps, int(self._grace / _LOOKS / seconds)) if seconds else 0

"""What all workers decide together between two device loops."""

import collections
from typing import Any

import numpy as np
import tensorflow as tf

from engine.cluster.peers import gather
from engine.cluster.strategies import workers_of
from engine.errors import StopRequested
from engine.process.preemption import Notices
from engine.process.progress import Progress

_SIZE = 96  # Bytes of a reason: what is gathered has one shape on all workers.
_LOOKS = 4  # At the notices, within the time of grace.


class Boundary:
  """Ends the loops of all workers at the same step once one is told to stop.

  Loops are short enough for a look at the notices within the time of grace.
  How short depends on the slowest worker, so that all make the same loops.
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

  def limit(self, steps: int) -> int:
    """Returns how many of `steps` may run before the next look."""
    return self._pace.limit(steps)

  def measured(self, steps: int, seconds: float) -> None:
    """Notes what a device loop took."""
    self._pace.measured(steps, seconds)

  def check(self, step: int | None = None) -> None:
    """Ends the loop here if a worker was told to stop.

    Args:
      step: the global step that is reached; None in an evaluation.

    Raises:
      StopRequested: on all workers alike.
    """
    reached: dict[str, Any] = {} if step is None else {"step": step}
    self._progress.report(**reached)
    reason = self._notices.reason if self._notices else ""
    if len(self._workers) > 1:
      reason = self._of_all(reason)
    if reason:
      raise StopRequested(reason)

  def _of_all(self, reason: str) -> str:
    """Exchanges reasons and paces with the other workers."""
    words = reason.encode()[:_SIZE].ljust(_SIZE, b"\0")
    own = np.array([self._pace.seconds, *words], np.float64)
    rows = gather(self._strategy, own)
    self._pace.seconds = float(rows[:, 0].max())
    for i, row in enumerate(rows[:, 1:]):
      words = bytes(row.astype(np.uint8)).rstrip(b"\0")
      if words and not reason:
        told = words.decode(errors="replace")
        reason = f"{told} (worker {i}, {self._workers[i]})"
    return reason


class Pace:
  """How many steps may run before the next look at the notices."""

  def __init__(self, *, grace: float):
    """Initializes the pace.

    Args:
      grace: seconds from a notice to the end of the process.
    """
    # Of a step, 0 while unknown; of the slowest worker, where others set it.
    self.seconds = 0.0
    self._grace = grace
    self._recent: collections.deque[float] = collections.deque(maxlen=2)

  def measured(self, steps: int, seconds: float) -> None:
    """Notes what `steps` took; the slower of the last two counts."""
    self._recent.append(seconds / steps)
    self.seconds = max(self._recent)

  def limit(self, steps: int) -> int:
    """Returns how many of `steps` may run before the next look."""
    if not self.seconds:
      return 1
    return min(steps, max(1, int(self._grace / _LOOKS / self.seconds)))

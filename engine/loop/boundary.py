"""What all workers decide together between two device loops."""

import collections
import math

import numpy as np
import tensorflow as tf

from engine.cluster.peers import gather
from engine.cluster.strategies import workers_of
from engine.errors import StopRequested
from engine.process.preemption import Notices
from engine.process.progress import Progress

_SIZE = 96  # Bytes of a reason: what is gathered has one shape on all workers.
# Loops within the time of grace. One is given to the device before the one that
# runs has ended, and where several workers decide, one more.
_LOOKS = 8
_BATCHES = 1000  # Of an evaluation, at most, between two questions.


class Boundary:
  """Ends the loops of all workers at the same step once one is told to stop.

  Loops are short enough for a look at the notices within the time of grace.
  How short depends on the slowest worker, so that all make the same loops.

  What a worker has to say of this rides on the sum of each step's gradients, a
  row of a table: its pace, and whether it was told to stop. So nobody votes
  while nothing happens. All workers read the sum at the same place among the
  steps that they give; where it says that one was told, they exchange reasons.

  Attributes:
    told: whether the newest sum said so.
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
    self._grace = grace
    self._pace = Pace(grace=grace)
    self.told = False
    if len(self._workers) > 1:
      # Nothing is known; what is measured here is not what others measure.
      self._pace.agreed = 0.0
      self._own = strategy.cluster_resolver.task_id

  def limit(self, steps: int) -> int:
    """Returns how many of `steps` may run before the next look.

    0: one may, and no other may be given to the device meanwhile.
    """
    return self._pace.limit(steps)

  def measured(self, steps: int, seconds: float) -> None:
    """Notes what a device loop took."""
    self._pace.measured(steps, seconds)

  @property
  def signals(self) -> np.ndarray:
    """What this worker adds to the sum of a step: float32 [workers, 2].

    All rows but its own are 0; where it is alone there are none.
    """
    if len(self._workers) < 2:
      return np.zeros([0, 2], np.float32)
    table = np.zeros([len(self._workers), 2], np.float32)
    table[self._own] = self._pace.own, bool(self._reason)
    return table

  def hear(self, signals: np.ndarray) -> None:
    """Takes the sum of what all workers have added to a step."""
    if len(signals):
      self._pace.agreed = float(signals[:, 0].max())
      self.told = bool(signals[:, 1].any())

  @property
  def _reason(self) -> str:
    return self._notices.reason if self._notices else ""

  def check(self, step: int) -> None:
    """Ends the loop here if a worker was told to stop.

    Args:
      step: the global step that is reached.

    Raises:
      StopRequested: on all workers alike.
    """
    self._progress.report(step=step)
    if len(self._workers) < 2:
      self._stop_for(self._reason)
    elif self.told:
      self.told = False
      self._exchange()

  def ask(self, seconds: float) -> int:
    """Ends an evaluation here if a worker was told to stop.

    No sum says there what the others know, so they are asked.

    Args:
      seconds: that a batch takes this worker; 0 where unknown.

    Returns:
      After how many batches to ask again, on all workers alike.

    Raises:
      StopRequested: on all workers alike.
    """
    self._progress.report()
    if len(self._workers) < 2:
      self._stop_for(self._reason)
      return 1
    pace = Pace(grace=self._grace)
    pace.agreed = self._exchange(seconds)
    return max(1, pace.limit(_BATCHES))

  def _stop_for(self, reason: str) -> None:
    if reason:
      raise StopRequested(reason)

  def _exchange(self, seconds: float = 0.0) -> float:
    """Tells the other workers the own reason and pace.

    Returns:
      The pace of the slowest.

    Raises:
      StopRequested: for the first reason of all.
    """
    words = self._reason.encode()[:_SIZE].ljust(_SIZE, b"\0")
    # Collectives know no bytes.
    own = [math.ceil(seconds * 1e3), *words]
    rows = gather(self._strategy, np.array(own, np.int32))
    for i, row in enumerate(rows[:, 1:].astype(np.uint8)):
      if row.any():
        told = bytes(row).rstrip(b"\0").decode(errors="replace")
        self._stop_for(f"{told} (worker {i}, {self._workers[i]})")
    return rows[:, 0].max() / 1e3


class Pace:
  """How many steps may run before the next look at the notices.

  Attributes:
    agreed: seconds of a step of the slowest worker, where there are several.
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

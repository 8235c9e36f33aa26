"""Where every wall second of a run went, and what the timed ones worked on."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Who asks when the process began has imported nothing slow.
  from engine.task import Layout

BUCKETS = (
  "start_up",
  "compile",
  "input_wait",
  "step",
  "evaluation",
  "checkpoint",
  "other",
  "lost_to_restart",
)
SECONDS = {f"{bucket}?": int | float for bucket in BUCKETS}  # In a file.


class Ledger:
  """Books wall time: at each moment exactly one bucket is open.

      with ledger.time("evaluation"):   # closes the bucket that was open,
        ...                             # and opens it again at the end

  A new ledger books start-up; what is in no other bucket is `other`, once
  `started` was called.
  """

  def __init__(
    self,
    *,
    clock: Callable[[], float] = time.perf_counter,
    elapsed: float = 0.0,
    listener: Callable[[str], None] = lambda bucket: None,
  ):
    """Initializes the ledger.

    Args:
      clock: returns seconds.
      elapsed: seconds of start-up that lie behind already.
      listener: hears which bucket is opened.
    """
    self._clock = clock
    self._seconds = dict.fromkeys(BUCKETS, 0.0)
    self._seconds["start_up"] = elapsed
    self._open = "start_up"
    self._listener = listener
    self._since = clock()

  def _switch(self, bucket: str) -> None:
    now = self._clock()
    self._seconds[self._open] += now - self._since
    self._open, self._since = bucket, now
    self._listener(bucket)

  def started(self) -> None:
    """Ends start-up."""
    self._switch("other")

  @contextlib.contextmanager
  def time(self, bucket: str) -> Iterator[None]:
    """Books the seconds of a block."""
    outer = self._open
    self._switch(bucket)
    try:
      yield
    finally:
      self._switch(outer)

  def rebook(self, seconds: float, booked: str, truly: str) -> None:
    """Moves seconds of which it is known later what they were."""
    self._seconds[booked] -= seconds
    self._seconds[truly] += seconds

  def add(self, earlier: Mapping[str, float]) -> None:
    """Adds the seconds of earlier processes of the same run."""
    for bucket, seconds in earlier.items():
      if bucket in self._seconds:
        self._seconds[bucket] += seconds

  def totals(self) -> dict[str, float]:
    """Returns the seconds of each bucket up to now."""
    now = self._clock()
    self._seconds[self._open] += now - self._since
    self._since = now
    return dict(self._seconds)


def goodput(seconds: Mapping[str, float], down: float) -> float:
  """Share of a run's wall time that went into steps that count.

  All starts of a run are in it, as in the "ML productivity goodput" of Google
  (cloud.google.com/blog, 2024): steps that were lost and made again count once.

  Args:
    seconds: of each bucket, over all processes of the run.
    down: seconds that no process has booked.
  """
  wall = sum(seconds.values()) + down
  return seconds["step"] / wall if wall else 0.0


def process_seconds() -> float:
  """Seconds since this process started, to a hundredth.

  What psutil says is based on the second of the boot, and up to one off.
  """
  with open("/proc/self/stat", "rb") as file:
    # Behind the name, which may hold anything.
    ticks = int(file.read().rpartition(b")")[2].split()[19])
  now = time.clock_gettime(time.CLOCK_BOOTTIME)
  return now - ticks / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Work:
  """What the steps that count in a rate have worked on, and for how long.

  Attributes:
    steps: that were timed.
    examples: in their batches.
    units: real units of work in them.
    capacity: units that their shapes could hold.
    flops: operations on the real units; None where some were not counted.
    executed_flops: of these, what was executed; likewise.
    seconds: that the steps took.
  """

  steps: int = 0
  examples: int = 0
  units: int = 0
  capacity: int = 0
  flops: float | None = 0.0
  executed_flops: float | None = 0.0
  seconds: float = 0.0

  @classmethod
  def read(cls, values: Mapping[str, Any]) -> "Work":
    """Returns what a file of a run holds of the shape `WORK`."""
    known = {x.name for x in dataclasses.fields(cls)}
    return cls(**{k: v for k, v in values.items() if k in known})

  def add(self, examples: int, layout: "Layout") -> None:
    """Adds one step."""
    self.steps += 1
    self.examples += examples
    self.units += layout.units
    self.capacity += layout.capacity
    if self.flops is not None and self.executed_flops is not None:
      self.flops += layout.flops
      self.executed_flops += layout.executed_flops


WORK = {  # In a file.
  **{f"{x}?": int for x in ("steps", "examples", "units", "capacity")},
  "flops?": int | float | None,
  "executed_flops?": int | float | None,
  "seconds?": int | float,
}

"""Watches the ranks of this host, ends all where one fails, restarts them.

A rank fails when it ends, or when it stands still: then its process lives on,
and only its progress file shows it.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

from engine.errors import one_line
from engine.process.progress import VARIABLE
from engine.process.rank import Process, Rank
from engine.process.signals import collected, name_of
from engine.process.watch import LOOK, Restarts, Watch

_TICK = 0.05  # Seconds between two looks whether a rank has ended.
_WORDS = 200  # Characters of a rank's last line.
_TOGETHER = ("step", "evaluation")  # A rank may stand still for another's sake.


class Supervisor:
  """Runs a job: its ranks on this host, over as many lives as it may have."""

  def __init__(
    self,
    *,
    start: Callable[[int, Mapping[str, str]], Process],
    names: Sequence[str],
    max_restarts: int = 0,
    stall_timeout: float = 30.0,
    grace: float = 10.0,
    last_line: Callable[[int], str] = lambda index: "",
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
  ):
    """Initializes the supervisor.

    Args:
      start: starts the rank of an index, with these additional variables in its
        environment; rank 0 is the first of each life.
      names: what messages call each rank.
      max_restarts: of all ranks together, in a row without progress.
      stall_timeout: seconds; see `Watch`.
      grace: seconds that ranks have to end by themselves, and again behind
        SIGTERM, where another has failed.
      last_line: returns what the rank of an index, which has ended, said last.
      clock: returns seconds.
      sleep: waits for seconds.
    """
    self._start = start
    self._names = names
    self._restarts = Restarts(max_restarts)
    self._stall_timeout = stall_timeout
    self._grace = grace
    self._last_line = last_line
    self._clock = clock
    self._sleep = sleep
    self._signals: list[int] = []  # That told us to stop.
    self._handed_on: set[int] = set()

  def run(self) -> int:
    """Runs the job; call it in the main thread.

    Returns:
      0; 2 where a rank ended with that; or the worst status of those that
      failed by themselves (75 is the least), 128 + n for signal n.
    """
    with (
      collected() as self._signals,
      tempfile.TemporaryDirectory(prefix="apsis-") as directory,
    ):
      status = None
      while status is None:
        status = self._judge(self._live(directory))
    return status

  def _live(self, directory: str) -> list[Rank]:
    """Starts all ranks, waits for all; returns them as they ended."""
    ranks: list[Rank] = []
    try:
      for index, name in enumerate(self._names):
        path = os.path.join(directory, str(index))
        with contextlib.suppress(FileNotFoundError):
          os.unlink(path)
        process = self._start(index, {VARIABLE: path})
        watch = Watch(stall_timeout=self._stall_timeout)
        ranks.append(Rank(name, index, process, path, watch))
      return self._wait(ranks)
    except BaseException:
      self._leave_none_behind(ranks)
      raise

  def _wait(self, ranks: Sequence[Rank]) -> list[Rank]:
    running, ended = list(ranks), []
    stops, deadline = [signal.SIGTERM, signal.SIGKILL], None
    look = 0.0
    while running:
      now = self._clock()
      ended += [rank for rank in running if not rank.poll(now)]
      running = [rank for rank in running if rank.status is None]
      self._hand_on(running)
      if now >= look:
        look = now + min(LOOK, self._stall_timeout / 5)
        # Those who wait for one that failed stand still too.
        still = [rank for rank in running if rank.look(now)]
        # One that waits for a rank at work (a long save, say) is not to blame.
        idle = [x for x in running if x.watch.still >= self._stall_timeout / 2]
        stopped = any(rank.watch.stopped for rank in still)
        if (
          still and deadline is None and (stopped or len(idle) == len(running))
        ):
          _culprit(running).kill_frozen()
      failed = [rank for rank in ranks if rank.status or rank.frozen]
      if deadline is None and failed and not self._saves(failed):
        # The others get time to notice by themselves: they know more to say.
        deadline = now + self._grace
      elif deadline is not None and now >= deadline and stops:
        stop, deadline = stops.pop(0), now + self._grace
        for rank in running:
          rank.dismiss(stop, now)
      if running:
        self._sleep(_TICK)
    return ended

  def _saves(self, failed: Sequence[Rank]) -> bool:
    """Whether the job stops as told: saving may take longer than the grace."""
    told = self._signals or any(x.watch.record.get("stopped") for x in failed)
    return bool(told) and all(x.status == os.EX_TEMPFAIL for x in failed)

  def _judge(self, ended: Sequence[Rank]) -> int | None:
    """Returns the exit status of the job; None: it has another life."""
    failed = [rank for rank in ended if rank.status and not rank.dismissed]
    failed = failed or [rank for rank in ended if rank.status]
    if not failed:
      return 0
    # 75 says that a peer was lost: the peer's own status says why.
    first = min(failed, key=lambda rank: rank.status == os.EX_TEMPFAIL)
    status = _worst([rank.status for rank in failed if rank.status])
    told = [rank.watch.record.get("stopped", "") for rank in ended]
    told = [x for x in told if x.startswith(("the file", "SIGINT"))]
    told += [name_of(number) for number in self._signals]
    if status != 2 and not told:
      wait = self._restarts.next(max(rank.watch.step for rank in ended))
      if wait is not None:
        _say(
          f"restart {self._restarts.count} of {self._restarts.most}: "
          f"{first.describe()}; waiting {wait:g} s"
        )
        self._pause(wait)
        if not self._signals:
          return None
        self._restarts.total -= 1
        told = [name_of(self._signals[0])]
    number = self._restarts.total
    line = f"{first.describe()} after {number} restart{'s' * (number != 1)}"
    if told:
      line += f", since {told[0]} told the job to stop"
    if words := one_line(self._last_line(first.index), _WORDS):
      line += f"; its last line: {words}"
    _say(line)
    return status

  def _pause(self, seconds: float) -> None:
    """Waits, until a signal tells us to stop."""
    end = self._clock() + seconds
    while not self._signals and (left := end - self._clock()) > 0:
      self._sleep(min(_TICK, left))

  def _hand_on(self, running: Sequence[Rank]) -> None:
    """Hands each signal on, once; SIGINT for the second time kills."""
    kill = self._signals.count(signal.SIGINT) > 1
    for number in [x for x in self._signals if x not in self._handed_on]:
      self._handed_on.add(number)
      for rank in running:
        rank.send(number)
    for rank in running if kill else ():
      rank.dismissed = True
      rank.send(signal.SIGKILL)

  def _leave_none_behind(self, ranks: Sequence[Rank]) -> None:
    """Ends the ranks where the supervisor itself fails."""
    for stop in (signal.SIGTERM, signal.SIGKILL):
      end = self._clock() + self._grace
      running = [rank for rank in ranks if rank.poll(self._clock())]
      for rank in running:
        rank.send(stop)
      while running and self._clock() < end:
        self._sleep(_TICK)
        running = [rank for rank in running if rank.poll(self._clock())]


def _culprit(running: Sequence[Rank]) -> Rank:
  """The rank for which the others stand still."""
  longest = max(rank.watch.still for rank in running)
  return min(
    (rank for rank in running if rank.watch.still >= longest / 2),
    key=lambda rank: (
      not rank.watch.stopped,
      rank.watch.step,
      rank.watch.phase in _TOGETHER,
      -rank.watch.still,
    ),
  )


def _worst(statuses: Sequence[int]) -> int:
  if 2 in statuses:  # A user's mistake: doors exit with it.
    return 2
  statuses = [128 - x if x < 0 else x for x in statuses]
  return max(statuses, key=lambda x: (x != os.EX_TEMPFAIL, x))


def _say(line: str) -> None:
  with contextlib.suppress(OSError):
    print(line, file=sys.stderr, flush=True)

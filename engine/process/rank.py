"""One process that a supervisor has started: watched, ended, described."""

import contextlib
import signal
from typing import Protocol

import psutil

from engine.process.progress import read_progress
from engine.process.signals import name_of
from engine.process.watch import BUSY, Watch


class Process(Protocol):
  """A rank as `start` returns it; `subprocess.Popen` is one."""

  pid: int

  def poll(self) -> int | None:
    """Returns None while it runs, then its status; -n: signal n ended it."""

  def send_signal(self, number: int) -> None:
    """Sends a signal."""


class Rank:
  """A process that was started, and what became of it."""

  def __init__(
    self, name: str, index: int, process: Process, path: str, watch: Watch
  ):
    self.index = index
    self.watch = watch
    self.status: int | None = None
    self.dismissed = False  # It was ended for another rank's sake.
    self.frozen = ""  # How it stood still, if it was killed for that.
    self._name = name
    self._process = process
    self._path = path

  def poll(self, now: float) -> bool:
    """Whether it runs; reads its last record where it does not any more."""
    self.status = self._process.poll()
    if self.status is not None:
      self.watch.look(now=now, record=read_progress(self._path))
    return self.status is None

  def look(self, now: float) -> bool:
    """Whether it is frozen."""
    cpu, stopped = None, False
    with contextlib.suppress(psutil.Error):
      process = psutil.Process(self._process.pid)
      stopped = process.status() == psutil.STATUS_STOPPED
      if self.watch.phase in BUSY:
        cpu = sum(process.cpu_times()[:4])  # With children that have ended.
        for child in process.children(recursive=True):
          with contextlib.suppress(psutil.Error):
            cpu += sum(child.cpu_times()[:4])
    record = read_progress(self._path)
    return self.watch.look(now=now, record=record, cpu=cpu, stopped=stopped)

  def send(self, number: int) -> None:
    """Sends a signal; one that has just ended gets none."""
    with contextlib.suppress(ProcessLookupError):
      self._process.send_signal(number)

  def kill_frozen(self) -> None:
    """Kills it, as the one to blame; SIGKILL ends stopped processes too."""
    self.frozen = f"stood still for {self.watch.still:.3g} s and was killed"
    if self.watch.stopped:
      self.frozen = "was found stopped, as by SIGSTOP, and killed"
    self.send(signal.SIGKILL)

  def dismiss(self, number: int, now: float) -> None:
    """Ends it since another has failed, or for itself where it is frozen."""
    if self.look(now) or self.watch.stopped:
      self.kill_frozen()
    else:
      self.dismissed = True
      self.send(number)

  def describe(self) -> str:
    """Says how it ended, and where."""
    status = self.status or 0
    end = f"ended with status {status}"
    if self.frozen or status < 0:
      end = self.frozen or f"was killed by {name_of(-status)}"
    return f"{self._name} {end} at step {self.watch.step} ({self.watch.phase})"

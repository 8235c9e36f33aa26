"""Notices that tell a process to stop, and how soon it must look at them.

A signal, a file that appears, or the word of Google's metadata server: the run
hears it at once, and stops at the next boundary of steps.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_POLL = 1.0  # Seconds between two looks at files and at the server.
_SHARE = 0.9  # Of the time of grace: then the process ends by itself.
_PRODUCT = "/sys/class/dmi/id/product_name"
# Path below instance/ -> the answer that is a notice. A machine that can be
# moved while it runs says MIGRATE_..., which is none.
_QUESTIONS = {
  "preempted": "TRUE",
  "maintenance-event": "TERMINATE_ON_HOST_MAINTENANCE",
}


class Notices:
  """Hears what tells this process to stop.

  Before `begin` there is nothing to save, and a notice ends the process at
  once. Behind it, `reason` says that there was one, and the process has the
  time of grace to save and leave.
  """

  def __init__(
    self,
    *,
    grace: float,
    stop_files: Sequence[str] = (),
    exists: Callable[[str], bool] = os.path.exists,
    host: str | None = None,
    poll: float = _POLL,
    end: Callable[[int], None] = os._exit,
  ):
    """Initializes the notices; `listen` starts to hear them.

    Args:
      grace: seconds from a notice to the end of the process.
      stop_files: paths; one that appears is a notice.
      exists: looks for a file.
      host: of Google's metadata server; found if it is not given.
      poll: seconds between two looks at files and at the server.
      end: ends the process with a status.
    """
    self.reason = ""
    self.exists = exists
    self._grace = grace
    self._stop_files = tuple(stop_files)
    self._host = metadata_host() if host is None else host
    self._poll = poll
    self._end = end
    self._began = False
    self._before: dict[int, object] = {}
    self._closed = threading.Event()
    self._lock = threading.Lock()
    self._timer: threading.Timer | None = None

  def listen(self) -> None:
    """Hears signals from now on; call it again once others took them over.

    Python runs handlers between two bytecodes of the main thread, which may be
    inside TensorFlow for seconds. So a thread reads the signals from the pipe
    into which the interpreter writes their numbers at once.
    """
    first = not self._before
    for number in _SIGNALS:
      before = signal.signal(number, lambda *_: None)
      self._before.setdefault(number, before)
    if not first:
      return
    self._reader, self._writer = socket.socketpair()
    self._writer.setblocking(False)
    signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
    for target in (self._hear_signals, self._look_around):
      threading.Thread(target=target, daemon=True).start()

  def begin(self) -> None:
    """From now on a notice waits for the next boundary of steps."""
    with self._lock:
      self._began = True

  def close(self) -> None:
    """Hears nothing any more, and lets the process live."""
    self._closed.set()
    if self._timer:
      self._timer.cancel()
    if self._before:
      signal.set_wakeup_fd(-1)
      for number, before in self._before.items():
        signal.signal(number, before or signal.SIG_DFL)
      self._before = {}
      self._writer.close()  # Ends the thread that reads.

  def notice(self, reason: str) -> None:
    """Takes a notice."""
    with self._lock:
      if self._closed.is_set() or self.reason:
        return
      if not self._began:
        self._leave(
          f"{reason}: stopped before training began; the same command starts "
          "it again.",
          os.EX_TEMPFAIL,
        )
      self.reason = reason
      self._timer = threading.Timer(self._grace * _SHARE, self._too_late)
      self._timer.daemon = True
      self._timer.start()

  def _too_late(self) -> None:
    if not self._closed.is_set():
      self._leave(
        f"{self.reason}: no boundary of steps came within {self._grace:g} s; "
        "what was not saved is computed again by the same command.",
        os.EX_TEMPFAIL,
      )

  def _leave(self, line: str, status: int) -> None:
    print(line, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
      with contextlib.suppress(OSError, ValueError):
        stream.flush()
    self._end(status)

  def _hear_signals(self) -> None:
    interrupts = 0
    while number := self._reader.recv(1):
      name = signal.Signals(number[0]).name
      interrupts += number[0] == signal.SIGINT
      if interrupts > 1:
        self._leave("interrupted twice: stopped at once.", 130)
      elif number[0] in _SIGNALS:
        self.notice(name)

  def _look_around(self) -> None:
    while not self._closed.wait(self._poll):
      for path in self._stop_files:
        with contextlib.suppress(Exception):  # A file system that is away.
          if self.exists(path):
            self.notice(f"the file {path}")
      if self._host and (event := ask_metadata(self._host)):
        self.notice(event)


class Pace:
  """How many steps may run between two looks at the notices.

  A quarter of the time of grace: the rest is for the save.

  Attributes:
    seconds: of a step; 0 where none was measured yet.
  """

  def __init__(self, *, grace: float):
    self._most = grace / 4
    self._last = 0.0
    self.seconds = 0.0

  def measured(self, steps: int, seconds: float) -> None:
    """Notes what some steps took; the slower of the last two loops counts."""
    newest = seconds / steps
    self.seconds = max(newest, self._last)
    self._last = newest

  def limit(self, steps: int) -> int:
    """Returns how many of `steps` may run; one before anything is measured."""
    if not self.seconds:
      return 1
    return max(1, min(steps, int(self._most / self.seconds)))


def metadata_host() -> str:
  """Host of Google's metadata server, where this is one of its machines.

  `GCE_METADATA_HOST` is the variable that Google's own libraries read.
  """
  host = os.environ.get("GCE_METADATA_HOST", "")
  if host:
    return host
  with contextlib.suppress(OSError), open(_PRODUCT) as file:
    if "Google Compute Engine" in file.read():
      return "metadata.google.internal"
  return ""


def ask_metadata(host: str, timeout: float = 2.0) -> str:
  """Returns the notice that the metadata server gives; "" for none.

  See cloud.google.com/compute/docs/metadata: `preempted` turns TRUE, and
  `maintenance-event` says TERMINATE_ON_HOST_MAINTENANCE, before the machine
  (a Cloud TPU VM too) is taken away.
  """
  opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
  for name, notice in _QUESTIONS.items():
    request = urllib.request.Request(
      f"http://{host}/computeMetadata/v1/instance/{name}",
      headers={"Metadata-Flavor": "Google"},
    )
    try:
      with opener.open(request, timeout=timeout) as answer:
        said = answer.read().decode().strip()
    except (OSError, ValueError):
      continue  # It will be asked again.
    if said == notice:
      return f"{name} {said}"
  return ""

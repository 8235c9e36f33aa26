"""Hears early what will end this process, and sees that it ends in time.

Python runs its signal handlers between two bytecodes of the main thread, which
is inside TensorFlow for seconds. So threads listen: one reads the numbers that
the interpreter's C handler writes at once, others look for stop files and ask
the metadata server of Google Compute Engine.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence

from engine.process.metadata import event_of, find_metadata_host
from engine.process.signals import STOPS, name_of

_CLOSE = b"\0"  # No signal has this number.
_INTERRUPTED = 128 + signal.SIGINT
_IN_TIME = 0.9  # Of the grace: behind it, others kill.
_PATIENCE = 1.0  # Seconds for the last words.


class Notices:
  """Hears what tells this process to stop: signals, files, its machine.

  Before `begin` there is nothing to save, and a notice ends the process at
  once. Behind it the first notice becomes the `reason`; a process that has not
  ended shortly before its grace ends is ended. A second SIGINT always ends it.
  """

  def __init__(
    self,
    *,
    grace: float,
    stop_files: Sequence[str] = (),
    end: Callable[[int], None] = os._exit,
    metadata_host: str | None = None,
    poll: float = 1.0,
  ):
    """Initializes the notices; nothing is heard before `listen`.

    Args:
      grace: seconds from a notice to the end of the process, above 0.
      stop_files: paths whose appearance is a notice.
      end: ends the process with a status.
      metadata_host: host, or host:port, of the metadata server; by default what
        `find_metadata_host` finds, "" for none.
      poll: seconds between two looks at files and server.
    """
    self.reason = ""  # What told the process to stop.
    self.exists: Callable[[str], bool] = os.path.exists  # Of stop files.
    self.told: Callable[[str], object] = lambda reason: None  # Hears it first.
    self._grace = grace
    self._stop_files = stop_files
    self._end = end
    if metadata_host is None:
      metadata_host = find_metadata_host()
    self._metadata_host = metadata_host
    self._poll = poll
    self._lock = threading.Lock()
    self._began = False
    self._closed = threading.Event()
    self._timer: threading.Timer | None = None
    self._listener: threading.Thread | None = None
    self._before: dict[int, signal.Handlers | Callable | None] = {}

  def listen(self) -> None:
    """Starts to listen; call it in the main thread.

    Again, it takes back the signals that others have taken over meanwhile.
    """
    assert not self._closed.is_set()
    if not self._listener:
      self._start()
    for number in STOPS:
      before = signal.signal(number, lambda number, frame: None)
      self._before.setdefault(number, before)

  def begin(self) -> None:
    """From now on there is something to save."""
    with self._lock:
      self._began = True

  def close(self) -> None:
    """Stops listening and the clock; call it in the main thread."""
    with self._lock:
      self._closed.set()
      if self._timer:
        self._timer.cancel()
    if not self._listener:
      return
    for number, before in self._before.items():
      # None: a handler that was not Python's.
      signal.signal(number, signal.SIG_DFL if before is None else before)
    signal.set_wakeup_fd(self._fd_before)
    self._writer.send(_CLOSE)
    self._listener.join()
    self._listener = None
    self._writer.close()

  def _start(self) -> None:
    reader, self._writer = socket.socketpair()
    self._writer.setblocking(False)
    self._fd_before = signal.set_wakeup_fd(
      self._writer.fileno(), warn_on_full_buffer=False
    )
    self._listener = _thread(self._hear, reader)
    if self._stop_files:
      _thread(self._watch, self._look_for_files)
    if self._metadata_host:
      _thread(self._watch, lambda: event_of(self._metadata_host))

  def _hear(self, reader: socket.socket) -> None:
    """Reads the numbers of the signals that come."""
    interrupts = 0
    with reader:
      while (byte := reader.recv(1)) != _CLOSE:
        number = byte[0]
        interrupts += number == signal.SIGINT
        if number == signal.SIGINT and interrupts > 1:
          _last_words("SIGINT again: ended at once, without saving.")
          self._end(_INTERRUPTED)
        elif number in STOPS:
          self._notice(name_of(number))

  def _watch(self, look: Callable[[], str]) -> None:
    """Looks for a reason now and then."""
    while not self.reason:
      if reason := look():
        self._notice(reason)
      elif self._closed.wait(self._poll):
        return

  def _look_for_files(self) -> str:
    for path in self._stop_files:
      # Whatever a remote file system raises: the next look may succeed.
      with contextlib.suppress(Exception):
        if self.exists(path):
          return f"the file {path}"
    return ""

  def _notice(self, reason: str) -> None:
    with self._lock:
      if self.reason or self._closed.is_set():
        return
      self.reason = reason
      self.told(reason)
      if self._began:
        self._timer = threading.Timer(_IN_TIME * self._grace, self._late)
        self._timer.daemon = True
        self._timer.start()
        return
    first = "once it is gone, " if reason.startswith("the file") else ""
    _last_words(
      f"{reason}: stopped before training began; {first}the same command "
      "starts it again."
    )
    self._end(os.EX_TEMPFAIL)

  def _late(self) -> None:
    _last_words(
      f"{self.reason}: the next step boundary did not come within "
      f"{self._grace:g} s; what was not saved is computed again."
    )
    self._end(os.EX_TEMPFAIL)


def _last_words(line: str) -> None:
  """Prints a line and flushes; who does not read it keeps no process."""

  def write():
    with contextlib.suppress(OSError, ValueError):
      print(line, file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, ValueError):
      sys.stdout.flush()

  _thread(write).join(_PATIENCE)


def _thread(target: Callable[..., None], *args) -> threading.Thread:
  thread = threading.Thread(target=target, args=args, daemon=True)
  thread.start()
  return thread

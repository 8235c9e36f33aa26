"""Starts processes that end with this one, and copies what they print."""

import collections
import contextlib
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TextIO

from engine.process.parent import ends_with
from launch.command.checks import is_run

_PIECE = 2**16  # Characters of a line that are held at once.
_WAITING = 2_000  # Pieces of lines for a log whose directory is not there.
_TAIL = 20  # Lines of each rank that are kept.
_DRAIN = 5.0  # Seconds for output of a rank that has ended.


class Output:
  """Starts processes and copies what they print, line by line."""

  def __init__(
    self,
    stream: TextIO,
    *,
    prefix: Callable[[int], str] = lambda index: "",
    log: Callable[[int], str] = lambda index: "",
  ):
    """Initializes the output.

    Args:
      stream: where the lines go.
      prefix: of the lines of the rank of an index.
      log: path of a file that gets them too, once its directory is that of a
        run; "": there is none.
    """
    self._stream = stream
    self._prefix = prefix
    self._log = log
    self._lock = threading.Lock()
    self._tails: dict[int, collections.deque[str]] = {}
    self._readers: dict[int, threading.Thread] = {}

  def start(
    self, index: int, command: Sequence[str], environ: Mapping[str, str]
  ) -> subprocess.Popen:
    """Starts the rank of an index.

    It has a session of its own, so that Ctrl-C in a terminal reaches nobody but
    the supervisor, which hands it on.
    """
    process = subprocess.Popen(
      command,
      env={"PYTHONUNBUFFERED": "1", **environ},
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      errors="replace",
      start_new_session=True,
      # Nobody would watch it any more: it saves, and leaves the directory of
      # the run to others.
      preexec_fn=ends_with(os.getpid()),
    )
    self._tails[index] = collections.deque(maxlen=_TAIL)
    self._readers[index] = threading.Thread(
      target=self._copy,
      args=(process.stdout, index, shlex.join(command)),
      daemon=True,
    )
    self._readers[index].start()
    return process

  def last_line(self, index: int) -> str:
    """Returns the last line, of a rank that has ended, that is not empty."""
    self._readers[index].join(_DRAIN)
    lines = (line.strip() for line in reversed(self._tails[index]))
    return next((line for line in lines if line), "")

  def drain(self) -> None:
    """Waits for the output of ranks that have ended."""
    for reader in self._readers.values():
      reader.join(_DRAIN)  # Children of a rank may hold its pipe open.

  def _copy(self, source: TextIO, index: int, command: str) -> None:
    prefix, tail = self._prefix(index), self._tails[index]
    begins = True
    for piece in logged(source, self._log(index), command):
      if begins:
        tail.append(piece)
      with self._lock, contextlib.suppress(OSError, ValueError):
        self._stream.write(prefix + piece if begins else piece)
        self._stream.flush()
      begins = piece.endswith("\n")


def logged(source: TextIO, path: str, command: str) -> Iterator[str]:
  """Yields what a process prints, in pieces of lines, and writes its log.

  Args:
    source: what it prints; to the end: a full pipe would stop it.
    path: of its log; "": there is none.
    command: that was started, for the first line of the log.
  """
  log = LogFile(path)
  when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
  log.write(f"# {when}: {command}\n")
  while piece := source.readline(_PIECE):
    log.write(piece)
    yield piece
  log.write("")  # One that has printed nothing had no other moment.


class LogFile:
  """A file of lines that is begun once its directory is that of a run.

  Who is refused makes no directory, and leaves no file in another one. What the
  disk refuses is lost, and stops nobody.
  """

  def __init__(self, path: str):
    """Initializes it.

    Args:
      path: of the file; "": there is none.
    """
    self._path = path
    self._begun = False
    self._waiting: collections.deque[str] = collections.deque(maxlen=_WAITING)

  def write(self, text: str) -> None:
    """Appends a piece of a line, or keeps it until there is a place for it."""
    if not self._path:
      return
    self._waiting.append(text)
    with contextlib.suppress(OSError):
      self._begun = self._begun or is_run(os.path.dirname(self._path))
      if self._begun:
        with open(self._path, "a", errors="replace") as file:
          file.write("".join(self._waiting))
        self._waiting.clear()

"""Restarts this host's rank where it fails: python -m launch.supervise --help.

One supervisor on each host of a job; the ranks find each other as they do
without it.
"""

import collections
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from absl import flags

from engine.errors import UserError
from engine.supervisor import Supervisor
from launch.flags import run_door

flags.DEFINE_integer(
  "max_restarts",
  0,
  "Restarts in a row without a new step before it gives up.",
  lower_bound=0,
)
flags.DEFINE_float(
  "stall_timeout",
  30.0,
  "Seconds without a move after which a rank is killed as frozen.",
  lower_bound=0.1,
)
flags.DEFINE_float(
  "grace",
  10.0,
  "Seconds that ranks have to end before they are killed.",
  lower_bound=0.0,
)

_TAIL = 20  # Lines of each rank that are kept.
_DRAIN = 5.0  # Seconds for output of a rank that has ended.
_PR_SET_PDEATHSIG = 1  # Of <linux/prctl.h>.


def main(arguments: Sequence[str]) -> None:
  """Runs the rank of this host; exits with its status."""
  output = Output(sys.stdout)
  command = train_command(arguments)

  def start(index, variables):
    return output.start(index, command, {**os.environ, **variables})

  status = Supervisor(
    start=start,
    names=["launch.train"],
    last_line=output.last_line,
    **limits(),
  ).run()
  output.drain()
  sys.exit(status)


def limits() -> dict[str, float]:
  """The flags that supervisors share."""
  names = ("max_restarts", "stall_timeout", "grace")
  return {name: flags.FLAGS[name].value for name in names}


def train_command(arguments: Sequence[str]) -> list[str]:
  """The command of a rank.

  Raises:
    UserError: where nothing stands behind `--`.
  """
  if not arguments:
    raise UserError(
      "There is nothing to run: put the flags of launch.train behind `--`."
    )
  return [sys.executable, "-m", "launch.train", *arguments]


class Output:
  """Starts processes and copies what they print, line by line."""

  def __init__(
    self, stream: TextIO, *, prefix: Callable[[int], str] = lambda index: ""
  ):
    """Initializes the output.

    Args:
      stream: where the lines go.
      prefix: of the lines of the rank of an index.
    """
    self._stream = stream
    self._prefix = prefix
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
      preexec_fn=_ends_with_parent(),
    )
    self._tails[index] = collections.deque(maxlen=_TAIL)
    self._readers[index] = threading.Thread(
      target=self._copy,
      args=(process.stdout, self._prefix(index), self._tails[index]),
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

  def _copy(
    self, source: TextIO, prefix: str, tail: collections.deque[str]
  ) -> None:
    for line in source:  # To the end: a full pipe would stop the rank.
      tail.append(line)
      with self._lock, contextlib.suppress(OSError, ValueError):
        self._stream.write(prefix + line)
        self._stream.flush()


def _ends_with_parent() -> Callable[[], None] | None:
  """Returns what makes a child end, by SIGTERM, with the thread that forks it.

  Nobody would watch it any more: it saves, and leaves the directory of the run
  to others. The child calls one function that was looked up before: it takes no
  lock that a thread of ours might hold.
  """
  if not sys.platform.startswith("linux"):
    return None
  prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

  def prepare():
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # It has ended before.
      os._exit(os.EX_TEMPFAIL)

  return prepare


if __name__ == "__main__":
  run_door(
    main,
    "Runs launch.train, restarts it where it fails: flags -- flags of train.",
    takes_rest=True,
  )

"""Doors whose file operations are watched, delayed, failed or their last.

    def answer(operation):
      return errno.ENOSPC if operation.kind == "write" else GO

    with loaded():
      ended = run(scratch, model_dir, answer, "launch.train", *flags)

The operations are those of faulty_files.c, which the C compiler of the machine
makes into a library for LD_PRELOAD: Python's and TensorFlow's own alike. While
an operation waits for its answer no other begins, so what is on the disk then
is what a kill at that moment would leave.
"""

import collections
import contextlib
import dataclasses
import multiprocessing.forkserver
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from tests.support.attack.judge import Overdue
from tests.support.doors import Door, Ended

GO, DIE, TEAR = 0, -1, -2  # Or an errno.
CHANGES = frozenset(
  {"create", "write", "flush", "fsync", "truncate"}
  | {"rename", "link", "unlink", "mkdir"}
)
LONGEST = 300.0  # Seconds of a door: some seconds on a machine that is idle.
_SOURCE = os.path.join(os.path.dirname(__file__), "faulty_files.c")


@dataclasses.dataclass(frozen=True)
class Operation:
  """A file operation that waits for its answer.

  Attributes:
    kind: one of `CHANGES`, or "open", "read", "list", "stat".
    path: relative to the watched directory.
    size: bytes, of a write.
    number: how many came before it.
    again: how many of its kind on its path came before it.
  """

  kind: str
  path: str
  size: int
  number: int
  again: int

  def __str__(self) -> str:
    # What differs from run to run is left out.
    path = re.sub(r"\.\d+\.\d+\.part", ".part", self.path)
    path = re.sub(r"(tfevents|tempstate|lock\.json)[.\d].*", r"\1", path)
    return f"{self.kind} {path} #{self.again}"


def why_not() -> str:
  """Why this machine cannot do it; "" where it can."""
  if not sys.platform.startswith("linux"):
    return "LD_PRELOAD is Linux's"
  return "" if shutil.which("cc") else "there is no C compiler, cc"


def build(directory) -> str:
  """Compiles the library; returns its path."""
  assert not why_not(), why_not()
  library = os.path.join(directory, "faulty_files.so")
  command = ["cc", "-shared", "-fPIC", "-O1", "-o", library, _SOURCE]
  subprocess.run([*command, "-ldl", "-lpthread"], check=True)
  return library


@contextlib.contextmanager
def loaded():
  """Starts the server of doors with the library loaded, none being there."""
  with tempfile.TemporaryDirectory(prefix="faulty-") as directory:
    library = build(directory)
    server = multiprocessing.forkserver._forkserver
    assert server._forkserver_pid is None, "doors are already served"
    os.environ["LD_PRELOAD"] = library
    try:
      server.ensure_running()
    finally:
      del os.environ["LD_PRELOAD"]
    yield


def run(
  scratch,
  below: str,
  answer: Callable[[Operation], int],
  module: str,
  *arguments: str,
  stdin: str = "",
  started: Callable[[int], None] = lambda pid: None,
) -> Ended:
  """Runs a door whose operations below a directory are answered.

  Args:
    scratch: a directory (a `Path`) of this door alone.
    below: the absolute path of the watched directory.
    answer: called with one operation at a time.
    module: the door.
    arguments: its flags.
    stdin: what it reads.
    started: called with its process id.

  Raises:
    Overdue: where it does not end.
  """
  with tempfile.TemporaryDirectory(prefix="ask-") as directory:
    address = os.path.join(directory, "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
      server.bind(address)
      server.listen(1)
      server.settimeout(0.1)
      door = Door(
        scratch,
        "tests.support.attack.armed",
        address,
        below,
        module,
        *arguments,
        stdin=stdin,
      )
      until = deadline()
      started(door.process.pid)
      connection = accept(server, door.process.is_alive, until)
      if connection:
        with connection:
          serve(connection, below, answer, until)
  return finish(door, until)


def deadline() -> float:
  """When a door that begins now must have ended."""
  return time.monotonic() + LONGEST


def finish(door: Door, until: float) -> Ended:
  """Waits for a door, and ends it when its time is up.

  Raises:
    Overdue: where it was.
  """
  door.process.join(max(0.0, until - time.monotonic()))
  if door.process.is_alive():
    door.process.kill()
    raise Overdue(f"it did not end within {LONGEST:.0f} s")
  return door.end()


def accept(server, alive, until):
  """Waits for a process to ask for answers; None where it ends instead."""
  while time.monotonic() < until and alive():
    with contextlib.suppress(TimeoutError):
      return server.accept()[0]
  return None


def serve(connection, below, answer, until):
  """Answers until the process has ended."""
  counts = collections.Counter()
  while time.monotonic() < until:
    connection.settimeout(max(0.1, until - time.monotonic()))
    try:
      text = connection.recv(2**14)
    except (TimeoutError, ConnectionError):
      return
    if not text:
      return
    kind, size, path = os.fsdecode(text.rstrip(b"\0")).split("\t", 2)
    path = os.path.relpath(path, below)
    again = counts[kind, path]
    operation = Operation(kind, path, int(size), counts.total(), again)
    counts[kind, path] += 1
    with contextlib.suppress(BrokenPipeError):
      connection.send(struct.pack("i", answer(operation)))

"""Runs workers on this machine: python -m launch.cluster --help."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import TextIO

from absl import flags

from engine.errors import UserError
from launch.flags import run_door

flags.DEFINE_integer("num_workers", 2, "Processes to start.", lower_bound=1)
flags.DEFINE_float(
  "grace", 10.0, "Seconds that workers have to end before they are killed."
)


def main(arguments: Sequence[str]) -> None:
  """Runs the workers; exits with the worst of their statuses."""
  number = flags.FLAGS.num_workers
  if not arguments:
    raise UserError(
      "There is nothing to run: put the flags of launch.train behind `--`."
    )
  command = [sys.executable, "-m", "launch.train", *arguments]
  hosts = [f"127.0.0.1:{port}" for port in free_ports(number)]
  sys.exit(run_workers(command, hosts, grace=flags.FLAGS.grace))


def run_workers(
  command: Sequence[str],
  hosts: Sequence[str],
  *,
  grace: float,
  stream: TextIO | None = None,
) -> int:
  """Runs `command` once for each host; ends all where one fails.

  Args:
    command: program and arguments.
    hosts: host:port of each worker.
    grace: seconds between SIGTERM and SIGKILL.
    stream: where the prefixed lines go; standard output if not given.

  Returns:
    0, or the worst exit status of those that failed by themselves; 128 + n
    for one that signal n ended.
  """
  stream = stream or sys.stdout
  lock = threading.Lock()
  workers, readers = [], []
  with _signals_passed_on(workers), _none_left_behind(workers, grace):
    for index in range(len(hosts)):
      worker = subprocess.Popen(
        command,
        env=worker_environ(os.environ, hosts, index),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
      )
      workers.append(worker)
      reader = threading.Thread(
        target=_copy,
        args=(worker.stdout, f"[{index}] ", stream, lock),
        daemon=True,
      )
      reader.start()
      readers.append(reader)
    failed = _wait(workers, grace)
  for reader in readers:
    reader.join()
  for index, status in failed:
    print(f"worker {index} ended with status {status}", file=sys.stderr)
  # 75 says that a peer was lost: the peer's own status says why.
  statuses = [status for _, status in failed]
  return max(statuses, key=lambda x: (x != os.EX_TEMPFAIL, x), default=0)


def worker_environ(
  environ: dict[str, str], hosts: Sequence[str], index: int
) -> dict[str, str]:
  """The environment of one worker: its TF_CONFIG, and its share of the cores.

  Where each worker started a thread for each core they would fight for them.
  """
  threads = str(max(1, len(os.sched_getaffinity(0)) // len(hosts)))
  config = {
    "cluster": {"worker": list(hosts)},
    "task": {"type": "worker", "index": index},
  }
  return {
    "TF_NUM_INTRAOP_THREADS": threads,
    "OMP_NUM_THREADS": threads,
    "PYTHONUNBUFFERED": "1",
    **environ,
    "TF_CONFIG": json.dumps(config),
  }


def free_ports(number: int) -> list[int]:
  """Finds ports that nobody listens on."""
  with contextlib.ExitStack() as stack:
    servers = [
      stack.enter_context(socket.create_server(("127.0.0.1", 0)))
      for _ in range(number)
    ]
    return [server.getsockname()[1] for server in servers]


def _wait(
  workers: Sequence[subprocess.Popen], grace: float
) -> list[tuple[int, int]]:
  """Waits for all; returns (index, status) of those that failed."""

  def running():
    return [i for i, worker in enumerate(workers) if worker.poll() is None]

  def failed():
    return [i for i, worker in enumerate(workers) if worker.poll()]

  while running() and not failed():
    time.sleep(0.05)
  # The others get time to notice by themselves: they know more to say.
  deadline = time.monotonic() + grace
  while running() and time.monotonic() < deadline:
    time.sleep(0.05)
  stopped = running()
  _stop(workers, grace)
  statuses = [(i, workers[i].wait()) for i in failed() if i not in stopped]
  return [(i, 128 - x if x < 0 else x) for i, x in statuses]


def _stop(workers: Sequence[subprocess.Popen], grace: float) -> None:
  """Ends the workers that run: asks, waits, kills."""
  for stop in (signal.SIGTERM, signal.SIGKILL):
    running = [worker for worker in workers if worker.poll() is None]
    for worker in running:
      worker.send_signal(stop)
    deadline = time.monotonic() + grace
    for worker in running:
      with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(max(0.0, deadline - time.monotonic()))


@contextlib.contextmanager
def _none_left_behind(workers: list[subprocess.Popen], grace: float):
  """Ends the workers where the launcher itself is interrupted or fails."""
  try:
    yield
  except BaseException:
    _stop(workers, grace)
    raise


@contextlib.contextmanager
def _signals_passed_on(workers: list[subprocess.Popen]):
  """Hands SIGTERM and SIGUSR1 on to the workers."""

  def hand_on(number, _):
    for worker in workers:
      worker.send_signal(number)

  before = {
    number: signal.signal(number, hand_on)
    for number in (signal.SIGTERM, signal.SIGUSR1)
  }
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def _copy(
  source: TextIO, prefix: str, target: TextIO, lock: threading.Lock
) -> None:
  """Copies lines, each with its prefix."""
  for line in source:  # To the end: a full pipe would stop the worker.
    with lock, contextlib.suppress(OSError, ValueError):
      target.write(prefix + line)
      target.flush()


if __name__ == "__main__":
  run_door(
    main,
    "Runs launch.train as workers on this machine: flags -- flags of train.",
    takes_rest=True,
  )

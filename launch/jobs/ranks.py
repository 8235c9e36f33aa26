"""The ranks of a job on this machine: their command, environment and limits."""

import contextlib
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from absl import flags

from engine.cluster.discovery import find_cluster
from engine.cluster.job_token import with_token
from engine.cluster.threads import SHARE
from engine.config import LONGEST, RuntimeConfig
from engine.errors import UserError
from engine.process.supervisor import Supervisor
from launch.jobs.gpus import VISIBLE
from launch.jobs.output import Output


def define_limits() -> None:
  """Defines the flags that supervisors share."""
  flags.DEFINE_integer(
    "max_restarts",
    0,
    "Restarts in a row without a new step before it gives up.",
    lower_bound=0,
    upper_bound=LONGEST,
  )
  flags.DEFINE_float(
    "stall_timeout",
    30.0,
    "Seconds without a move after which a rank is killed as frozen.",
    lower_bound=0.1,
    upper_bound=LONGEST,
  )
  flags.DEFINE_float(
    "grace",
    10.0,
    "Seconds that ranks have to end before they are killed.",
    lower_bound=0.0,
    upper_bound=LONGEST,
  )


def limits() -> dict[str, Any]:
  """Returns what those flags say, as `Supervisor` takes it."""
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


def value_of(command: Sequence[str], flag: str) -> str:
  """Returns what a command gives a flag; "": it does not."""
  for word, following in zip(command, [*command[1:], ""], strict=True):
    name, equals, value = word.partition("=")
    if name.startswith("-") and name.lstrip("-") == flag:
      return value if equals else following
  return ""


def index_of(command: Sequence[str], environ: Mapping[str, str]) -> int:
  """Returns which worker a command starts; 0 where its flags make no sense."""
  with contextlib.suppress(UserError, ValueError):
    runtime = RuntimeConfig(
      strategy="one_device",  # No remark of a job whose ranks are elsewhere.
      worker_hosts=value_of(command, "worker_hosts"),
      worker_index=int(value_of(command, "worker_index") or 0),
    )
    cluster = find_cluster(runtime, environ)
    return cluster.index if cluster else 0
  return 0


def log_of(command: Sequence[str], index: int) -> str:
  """Path of the log of a worker; "": its run is in no local directory."""
  directory = value_of(command, "model_dir")
  if not directory or "://" in directory:
    return ""
  return os.path.join(directory, f"worker_{index}.log")


def run_workers(
  command: Sequence[str],
  number: int,
  *,
  grace: float,
  max_restarts: int = 0,
  stall_timeout: float = 30.0,
  stream: TextIO | None = None,
  gpus: Sequence[str] = (),
) -> int:
  """Runs `command` as workers; ends all where one fails, and restarts them.

  Args:
    command: program and arguments.
    number: of workers.
    grace: seconds to end by themselves, and between SIGTERM and SIGKILL.
    max_restarts: in a row without progress.
    stall_timeout: seconds without a move after which a worker is frozen.
    stream: where the prefixed lines go; standard output if not given.
    gpus: what each worker may see of them; nothing: all see the same.

  Returns:
    0, or the exit status that `Supervisor.run` describes.
  """
  output = Output(
    stream or sys.stdout,
    prefix=lambda index: f"[{index}] ",
    log=lambda index: log_of(command, index),
  )
  hosts: list[str] = []
  shared = with_token(os.environ)

  def start(index, variables):
    if index == 0:  # New ports for each life: the old ones may linger.
      hosts[:] = [f"127.0.0.1:{port}" for port in free_ports(number)]
    environ = worker_environ(shared, hosts, index)
    if gpus:
      environ[VISIBLE] = gpus[index]
    return output.start(index, command, {**environ, **variables})

  status = Supervisor(
    start=start,
    names=[f"worker {index}" for index in range(number)],
    max_restarts=max_restarts,
    stall_timeout=stall_timeout,
    grace=grace,
    last_line=output.last_line,
  ).run()
  output.drain()
  return status


def worker_environ(
  environ: Mapping[str, str], hosts: Sequence[str], index: int
) -> dict[str, str]:
  """The environment of one worker: TF_CONFIG, and its share of the cores."""
  share = str(max(1, len(os.sched_getaffinity(0)) // len(hosts)))
  config = {
    "cluster": {"worker": list(hosts)},
    "task": {"type": "worker", "index": index},
  }
  return {
    SHARE: share,
    "OMP_NUM_THREADS": share,
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

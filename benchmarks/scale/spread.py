"""Runs a module as one process, as replicas, or as workers, on this machine."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from benchmarks.scale.two_hosts import two_hosts
from engine.cluster.job_token import with_token
from launch.command.door import fail
from launch.jobs.ranks import free_ports, worker_environ


@dataclasses.dataclass(frozen=True)
class Way:
  """How replicas are spread.

  Attributes:
    kind: one, mirrored, workers, or the rate of a link between two hosts.
    replicas: how many.
  """

  kind: str
  replicas: int

  def __str__(self) -> str:
    return (
      "one replica" if self.kind == "one" else f"{self.kind}:{self.replicas}"
    )


def spread(way: Way, command: Sequence[str]) -> list[str]:
  """Runs `python -m COMMAND` in a way; returns what the chief printed."""
  if way.kind in ("one", "mirrored"):
    more = ["--strategy=one_device"]
    if way.kind == "mirrored":
      more = ["--strategy=mirrored", f"--num_virtual_devices={way.replicas}"]
    return finish([start([], [*command, *more], dict(os.environ))])
  number = way.replicas
  shared = with_token(os.environ)

  def workers(hosts, prefix):
    return finish(
      [
        start(
          prefix(i),
          [*command, "--strategy=multi_worker"],
          worker_environ(shared, hosts, i),
        )
        for i in range(number)
      ]
    )

  if way.kind == "workers":
    hosts = [f"127.0.0.1:{port}" for port in free_ports(number)]
    return workers(hosts, lambda i: [])
  with two_hosts(way.kind) as places:
    hosts = [f"{address}:5000" for _, address in places]
    return workers(hosts, lambda i: ["ip", "netns", "exec", places[i][0]])


def start(
  prefix: Sequence[str], command: Sequence[str], environ: Mapping[str, str]
) -> subprocess.Popen:
  """Starts one process."""
  return subprocess.Popen(
    [*prefix, sys.executable, "-m", *command],
    env=dict(environ),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(processes: Sequence[subprocess.Popen]) -> list[str]:
  """Waits for all; returns the lines of the first."""
  printed = [process.communicate() for process in processes]
  for process, (_, errors) in zip(processes, printed, strict=True):
    if process.returncode:
      lines = errors.strip().splitlines() or ["no word"]
      fail(f"a run ended with {process.returncode}: {lines[-1]}", status=1)
  return printed[0][0].strip().splitlines()


def efficiency(
  seconds: Mapping[tuple[Way, int], float], way: Way, size: int
) -> float:
  """Examples/s of all replicas, over those of one with all of the machine."""
  one = max(key[1] for key in seconds if key[0].kind == "one")
  rate = one / seconds[Way("one", 1), one]
  return size / seconds[way, size] / rate

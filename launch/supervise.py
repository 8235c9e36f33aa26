"""Restarts this host's rank where it fails: python -m launch.supervise --help.

One supervisor on each host of a job; the ranks find each other as they do
without it.
"""

import os
import sys
from collections.abc import Sequence

from engine.process.supervisor import Supervisor
from launch.command.door import run_door
from launch.jobs.output import Output
from launch.jobs.ranks import (
  define_limits,
  index_of,
  limits,
  log_of,
  train_command,
)

define_limits()


def main(arguments: Sequence[str]) -> None:
  """Runs the rank of this host; exits with its status."""
  command = train_command(arguments)
  log = log_of(command, index_of(command, os.environ))
  output = Output(sys.stdout, log=lambda index: log)

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


if __name__ == "__main__":
  run_door(
    main,
    "Runs launch.train, restarts it where it fails: flags -- flags of train.",
    takes_rest=True,
  )

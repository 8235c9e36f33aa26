"""Restarts this host's rank where it fails: python -m launch.supervise --help.

One supervisor on each host of a job; the ranks find each other as they do
without it.
"""

import os
import sys
from collections.abc import Sequence

from absl import flags

from engine.errors import UserError
from engine.process.supervisor import Supervisor
from launch.command.door import run_door
from launch.jobs.output import Output

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


if __name__ == "__main__":
  run_door(
    main,
    "Runs launch.train, restarts it where it fails: flags -- flags of train.",
    takes_rest=True,
  )

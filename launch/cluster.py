"""Runs workers on this machine: python -m launch.cluster --help."""

import os
import sys
from collections.abc import Sequence

from absl import flags

from launch.command.door import run_door
from launch.jobs.gpus import shares_of
from launch.jobs.ranks import define_limits, limits, run_workers, train_command

define_limits()
flags.DEFINE_integer(
  "num_workers", 2, "Processes to start.", lower_bound=1, upper_bound=256
)


def main(arguments: Sequence[str]) -> None:
  """Runs the workers; exits with the worst of their statuses.

  Each sees its share of this host's GPUs.
  """
  command, number = train_command(arguments), flags.FLAGS.num_workers
  gpus = shares_of(number, os.environ) if number > 1 else []
  sys.exit(run_workers(command, number, gpus=gpus, **limits()))


if __name__ == "__main__":
  run_door(
    main,
    "Runs launch.train as workers on this machine: flags -- flags of train.",
    takes_rest=True,
  )

"""Copies what a worker prints into its log: COMMAND 2>&1 | THIS COMMAND.

For launchers that are not ours. They stop all processes of a job at once: let
this one ignore that, for the worker has more to say.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TextIO

from launch.jobs.output import logged
from launch.jobs.ranks import index_of, log_of


def copy(source: TextIO, target: TextIO, command: Sequence[str]) -> None:
  """Copies a stream to its end, and to the log of the worker of a command."""
  path = log_of(command, index_of(command, os.environ))
  for piece in logged(source, path, shlex.join(command)):
    with contextlib.suppress(OSError):
      target.write(piece)
      target.flush()


if __name__ == "__main__":
  with open(sys.stdin.fileno(), errors="replace", closefd=False) as printed:
    copy(printed, sys.stdout, sys.argv[1:])

"""Writes a page about runs: python -m launch.report RUN [RUN...]."""

import os
import sys

from absl import flags

from launch.command.checks import check_output, check_run
from launch.command.door import run_door
from launch.command.imports import slow_imports
from launch.pages.markup import BEGIN

flags.DEFINE_string(
  "output",
  "",
  "HTML file to write; by default report.html in the run; of several runs "
  "report_RUN_RUN.html in the first.",
)


def main(*directories: str) -> None:
  """Writes the page; several runs stand side by side."""
  # Of several runs: the page of the first one alone stays.
  names = [os.path.basename(os.path.abspath(x))[:40] for x in directories]
  name = "_".join(["report", *names[:3]] if len(names) > 1 else ["report"])
  named = flags.FLAGS["output"].present
  path = flags.FLAGS.output
  path = path if named else os.path.join(directories[0], f"{name}.html")
  for directory in directories:
    check_run(directory)
  check_output("output", path, named=named, begins=BEGIN if named else "")
  # Imported behind the checks: TensorFlow takes seconds.
  with slow_imports():
    from launch.pages.page import write_page

  for line in write_page(directories, path, named=named):
    print(f"left out of {line}", file=sys.stderr)
  print(f"{path}: {os.path.getsize(path) / 1e3:,.0f} kB")


if __name__ == "__main__":
  run_door(main, "Writes one page about runs.", files=("RUN...",))

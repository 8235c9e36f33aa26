"""What all doors do alike."""

import logging
import os
import subprocess
import sys

import pytest

from tests.support.doors import enter
from tests.support.testing import ROOT


@pytest.mark.parametrize("door", ["launch.train", "launch.predict"])
def test_help_fits_on_a_screen_and_shows_defaults(tmp_path, door):
  ended = enter(tmp_path, door, "--help")
  assert ended.status == 0
  lines = ended.out.splitlines()
  assert len(lines) <= 30
  assert max(map(len, lines)) <= 100
  assert "--model_dir" in ended.out
  if door == "launch.train":
    assert "Passes over the training split. [3.0]" in ended.out


OPENS = """
import os, sys
from launch.command import door
door.open_streams()
print("kept"); print("told", file=sys.stderr); sys.stdin.read()
with open(sys.argv[1], "w") as file:
  os.write(1, b"a library prints")
  os.write(2, b"and warns")
  assert file.fileno() > 2
"""


def test_a_stream_that_is_closed_is_no_file_of_the_run(tmp_path):
  command = f"exec {sys.executable} -c '{OPENS}' {tmp_path}/log <&- >&- 2>&-"
  assert subprocess.run(["sh", "-c", command], cwd=ROOT).returncode == 0
  assert (tmp_path / "log").read_text() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="it is Linux's")
def test_a_full_disk_behind_the_output_is_one_line(tmp_path):
  command = f"exec {sys.executable} -m launch.plan --help > /dev/full"
  ended = subprocess.run(
    ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True
  )
  assert ended.returncode == 2
  assert ended.stderr.startswith("plan.py: ") and ended.stderr.count("\n") == 1


def test_our_lines_have_no_prefix_and_those_of_libraries_have_one():
  from launch.command.door import _OwnLines

  def shown(path):
    where = ("absl", logging.WARNING, path, 7, "%d pairs", (3,), None)
    return _OwnLines().format(logging.LogRecord(*where))

  assert shown(os.path.join(ROOT, "tasks/data/leaks.py")) == "3 pairs"
  foreign = shown("/usr/lib/python3/dist-packages/other/tasks/leaks.py")
  assert foreign.startswith("W") and foreign.endswith("leaks.py:7] 3 pairs")

"""What ranks print is copied: to the terminal, and to a file of each."""

import io
import os
import sys

import pytest

from launch.jobs.output import LogFile, Output
from launch.jobs.ranks import model_dir_of


def test_a_log_has_the_lines_of_its_rank_over_all_of_its_lives(tmp_path):
  stream = io.StringIO()
  output = Output(
    stream,
    prefix=lambda index: f"[{index}] ",
    log=lambda index: str(tmp_path / f"{index}.log"),
  )
  for life in (1, 2):
    for index in (0, 1):
      words = [sys.executable, "-c", f"print('life {life} of {index}')"]
      output.start(index, words, os.environ).wait()
    output.drain()
  for index in (0, 1):
    text = (tmp_path / f"{index}.log").read_text()
    assert text == f"life 1 of {index}\nlife 2 of {index}\n"
  assert sorted(stream.getvalue().splitlines())[0] == "[0] life 1 of 0"


def test_a_log_waits_for_its_directory_and_makes_none(tmp_path):
  log = LogFile(str(tmp_path / "run" / "x.log"))
  log.write("refused\n")
  assert not (tmp_path / "run").exists()
  (tmp_path / "run").mkdir()
  log.write("begun\n")
  assert (tmp_path / "run/x.log").read_text() == "refused\nbegun\n"


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path):
  for path in ("", str(tmp_path)):
    log = LogFile(path)
    log.write("lost\n")


@pytest.mark.parametrize(
  ("words", "path"),
  [
    (["x", "--model_dir=a b", "--quiet"], "a b"),
    (["x", "--model_dir", "a"], "a"),
    (["x", "-model_dir=a"], "a"),
    (["x", "--model_dir=gs://a"], ""),
    (["x", "model_dir=a"], ""),
    (["x", "--model_dir"], ""),
  ],
)
def test_the_directory_of_a_command_is_found(words, path):
  assert model_dir_of(words) == path

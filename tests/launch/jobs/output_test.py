"""What ranks print is copied: to the terminal, and to a file of each."""

import io
import os
import sys

from launch.jobs.output import LogFile, Output


def become_a_run(path):
  (path / "config.yaml").write_text("task:\n  name: x\ntrain:\n  seed: 0\n")


def test_a_log_has_the_lines_of_its_rank_over_all_of_its_lives(tmp_path):
  become_a_run(tmp_path)
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
    lines = (tmp_path / f"{index}.log").read_text().splitlines()
    assert lines[1::2] == [f"life 1 of {index}", f"life 2 of {index}"]
    assert all(x.startswith("# 20") and " UTC: " in x for x in lines[::2])
  assert sorted(stream.getvalue().splitlines())[0] == "[0] life 1 of 0"


def test_a_log_waits_for_its_run_and_touches_nobody_elses_folder(tmp_path):
  log = LogFile(str(tmp_path / "run" / "x.log"))
  log.write("refused\n")
  assert not (tmp_path / "run").exists()
  (tmp_path / "run").mkdir()
  log.write("still\n")
  assert not list((tmp_path / "run").iterdir())
  become_a_run(tmp_path / "run")
  log.write("begun\n")
  assert (tmp_path / "run/x.log").read_text() == "refused\nstill\nbegun\n"


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path):
  for path in ("", str(tmp_path)):
    log = LogFile(path)
    log.write("lost\n")

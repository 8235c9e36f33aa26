"""What several doors refuse, they refuse in the same words."""

import pytest

from engine.errors import UserError
from launch.command.checks import check_output, check_run, make_directory


def test_a_run_has_settings_or_checkpoints(tmp_path):
  with pytest.raises(UserError) as refused:
    check_run(str(tmp_path), "model_dir")
  assert str(refused.value) == (
    f"`model_dir` {tmp_path} holds no run: name the directory that "
    "launch.train was given."
  )
  (tmp_path / "checkpoints").mkdir()
  check_run(str(tmp_path))
  (tmp_path / "checkpoints").rmdir()
  (tmp_path / "config.yaml").touch()
  check_run(str(tmp_path))


def test_a_run_in_a_bucket_is_looked_for_by_tensorflow(tmp_path):
  with pytest.raises(UserError, match="^ram://nowhere holds no run"):
    check_run("ram://nowhere")


def test_an_output_needs_a_directory_and_is_none(tmp_path):
  check_output("output", str(tmp_path / "new"))
  check_output("output", str(tmp_path), directory=True)
  with pytest.raises(UserError, match="is a directory: name a file in it"):
    check_output("output", str(tmp_path))
  with pytest.raises(UserError, match="`output` /none/x cannot be written"):
    check_output("output", "/none/x")


def test_a_directory_is_made(tmp_path):
  make_directory("out", str(tmp_path / "a" / "b"))
  make_directory("out", str(tmp_path / "a" / "b"))
  assert (tmp_path / "a" / "b").is_dir()
  with pytest.raises(UserError, match="`out` /proc/a cannot be made"):
    make_directory("out", "/proc/a")

"""What several doors refuse, they refuse in the same words."""

import os

import pytest

from engine.errors import UserError
from launch.command.checks import (
  check_directory,
  check_model_dir,
  check_output,
  check_run,
  make_directory,
)
from tests.support.doors import enter


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


def test_a_run_that_tensorflow_would_not_find_is_refused(tmp_path):
  (tmp_path / "r[1]" / "checkpoints").mkdir(parents=True)
  with pytest.raises(UserError, match=r"^`other_dir` .*r\[1\] has '\['"):
    check_run(str(tmp_path / "r[1]"), "other_dir")


def test_what_is_no_directory_is_named(tmp_path):
  (tmp_path / "file").touch()
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "link").symlink_to("nowhere")
  for name, kind in {
    "file": "no directory",
    "pipe": "no directory",
    "link": "a link to no directory",
  }.items():
    for path in (tmp_path / name, tmp_path / name / "below" / "run"):
      complaint = f"^`model_dir` {path} cannot be a run: {tmp_path / name} is "
      for check in (check_directory, check_run):
        with pytest.raises(UserError, match=f"{complaint}{kind}: name another"):
          check(str(path), "model_dir")
  (tmp_path / "nowhere").mkdir()
  for name in ("link", "link/run", "new/run"):
    check_directory(str(tmp_path / name))
  check_directory("ram://nowhere")


@pytest.mark.parametrize("more", [["--mode=eval"], ["--allow_other_files"]])
def test_a_file_is_no_model_dir_in_any_mode(tmp_path, more):
  (tmp_path / "file").touch()
  flags = ("--task=demo", f"--model_dir={tmp_path}/file", *more)
  ended = enter(tmp_path, "launch.train", *flags)
  assert ended.status == 2
  assert "file is no directory: name another one." in ended.err


def test_a_directory_that_is_no_run_and_holds_other_things_is_refused(tmp_path):
  folder = tmp_path / "downloads"
  check_model_dir(str(folder))
  folder.mkdir()
  for nobodys in (".cache", "train.log", "stop", "job_token", "seed_3"):
    (folder / nobodys).mkdir()
  check_model_dir(str(folder))
  (folder / "checkpoints").mkdir()  # A start has failed here.
  check_model_dir(str(folder))
  (folder / "checkpoints" / "x").touch()  # Of whatever library.
  (folder / "config.yaml").write_text("trainer: theirs\n")
  with pytest.raises(UserError) as refused:
    check_model_dir(str(folder))
  assert str(refused.value) == (
    f"`model_dir` {folder} is no run, and holds 'checkpoints' and 1 more: name "
    "a directory for the run alone, or add --allow_other_files."
  )
  (folder / "checkpoints" / "ckpt-4.manifest.json").touch()
  check_model_dir(str(folder))
  (folder / "checkpoints" / "ckpt-4.manifest.json").unlink()
  (folder / "config.yaml").write_text("task:\n  name: demo\ntrain: {}\n")
  check_model_dir(str(folder))


def test_a_start_that_was_killed_early_is_no_other_thing(tmp_path):
  for name in ("lock.json", "assets", ".config.yaml.1.2.part"):
    (tmp_path / name).touch()
  check_model_dir(str(tmp_path))


def test_a_device_is_an_output_in_whatever_directory(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  check_output("output", str(tmp_path / "pipe"))
  check_output("output", os.devnull)


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


@pytest.mark.parametrize(
  ("path", "complaint"),
  [
    ("", "`output` is empty: name a file"),
    ("none/", "none/ names no file, and no directory is there"),
    ("file/", "file/ names no file"),
    ("none/x", "cannot be written .No such file or directory.: name a file"),
    ("file/x", "cannot be written .Not a directory.: name a file"),
    ("/proc/x", "/proc/x cannot be written .No such file or directory."),
    ("n" * 250, "cannot be written .File name too long."),
    ("a\0b", "cannot be written .embedded null"),
    ("link", "link is a link to nothing: remove it, or name another"),
    ("gs://bucket/x", "is in a store: name a path on a disk"),
  ],
)
@pytest.mark.parametrize("directory", [False, True])
def test_an_output_that_cannot_be_made_is_refused(
  tmp_path, monkeypatch, path, complaint, directory
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "file").touch()
  (tmp_path / "link").symlink_to("nowhere")
  with pytest.raises(UserError, match=complaint):
    check_output("output", path, directory=directory)
  assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_an_output_takes_the_place_of_its_own_kind_alone(tmp_path):
  path = tmp_path / "page.html"
  for content in ("", "<!doctype html><p>"):
    path.write_text(content)
    check_output("output", str(path), begins="<!doctype html>")
  path.write_text("0\tA pair\tof mine\n")
  with pytest.raises(UserError, match="is another file, which would be lost"):
    check_output("output", str(path), begins="<!doctype html>")


def test_a_directory_is_made(tmp_path):
  make_directory("out", str(tmp_path / "a" / "b"))
  make_directory("out", str(tmp_path / "a" / "b"))
  assert (tmp_path / "a" / "b").is_dir()
  with pytest.raises(UserError, match="`out` /proc/a cannot be made"):
    make_directory("out", "/proc/a")

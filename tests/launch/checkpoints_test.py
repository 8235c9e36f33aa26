"""launch.checkpoints lists, verifies, compares and prunes a run's checkpoints.

The door prints each line that is claimed here, and its status can be relied on.
"""

import json
import os
import pathlib
import re
import shutil
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from engine.durability import listing, manifest
from engine.durability.lock import Lock
from launch.trained import shelf
from tests.engine.run.resume_test import (
  fill,
  small_disk,  # noqa: F401, a fixture
)
from tests.support.doors import enter

CONFIG = {"train.seed": 1, "optimizer.learning_rate": 0.1}
DATA = ".data-00000-of-00001"


class Run:
  """A run directory whose checkpoints are small and real."""

  def __init__(self, path):
    self.path = path
    path.mkdir()
    (path / "config.yaml").write_text("{}\n")
    self.variables = {
      "kernel": tf.Variable([[3.0, 4.0]]),
      "bias": tf.Variable([0.0, 0.0]),
      "iterations": tf.Variable(0, dtype=tf.int64),
    }

  def save(self, step, *, folder="checkpoints", finished=True, **facts):
    checkpoint = tf.train.Checkpoint(**self.variables)
    if folder == "checkpoints":  # As a CheckpointManager does.
      if not hasattr(self, "manager"):
        self.manager = tf.train.CheckpointManager(
          checkpoint, str(self.path / folder), max_to_keep=None
        )
      self.manager.save(checkpoint_number=step)
      prefix = self.manager.latest_checkpoint
    else:
      prefix = checkpoint.write(str(self.path / folder / f"ckpt-{step}"))
    if finished:
      manifest.write_manifest(
        prefix,
        step=step,
        **{"config": CONFIG, "versions": {"numpy": "1"}, **facts},
      )
    return prefix

  def enter(self, verb, *arguments):
    output = tempfile.mkdtemp(dir=self.path.parent)
    return enter(
      pathlib.Path(output),
      "launch.checkpoints",
      verb,
      f"--model_dir={self.path}",
      *arguments,
    )

  def files(self, folder="checkpoints"):
    return sorted(os.listdir(self.path / folder))


@pytest.fixture
def run(tmp_path):
  return Run(tmp_path / "run")


def flip(path):
  with open(path, "r+b") as file:
    first = file.read(1)
    file.seek(0)
    file.write(bytes([first[0] ^ 1]))


def names(*steps):
  suffixes = (DATA, ".index", ".manifest.json")
  return sorted(f"ckpt-{step}{x}" for step in steps for x in suffixes)


def test_list_shows_a_line_for_each(run):
  run.save(2)
  run.save(10, versions={"numpy": "2"})
  run.save(12, finished=False)
  run.save(10, folder="best", metrics={"accuracy": 0.8125})
  prefix = run.save(14)
  (run.path / "checkpoints" / "ckpt-14.manifest.json").write_text("{")
  os.remove(prefix + DATA)  # Not missed: only manifests are read.
  ended = run.enter("list")
  assert ended.status == 0, ended.err
  header, *rows = (re.split(r"\s{2,}", x) for x in ended.out.splitlines())
  assert header == [
    "checkpoint", "written", "size", "state", "versions", "metrics"
  ]  # fmt: skip
  assert [(row[0], row[3]) for row in rows] == [
    ("checkpoints/ckpt-2", "whole"),
    ("checkpoints/ckpt-10", "whole"),
    ("checkpoints/ckpt-12", "unfinished"),
    ("checkpoints/ckpt-14", "damaged"),
    ("best/ckpt-10", "whole"),
  ]
  assert rows[4][5] == "accuracy 0.8125"
  assert rows[0][4] == rows[4][4] != rows[1][4]
  lines = ended.out.splitlines()
  places = {x.index(y[3]) for x, y in zip(lines, [header, *rows], strict=True)}
  assert len(places) == 1  # The columns are aligned.


def test_verify_names_what_is_damaged(run):
  good, bad = run.save(2), run.save(4)
  run.save(6, finished=False)
  ended = run.enter("verify")
  assert ended.status == 0, ended.err
  assert ended.out.splitlines()[:2] == [
    "checkpoints/ckpt-2: ok",
    "checkpoints/ckpt-4: ok",
  ]
  assert "ckpt-6: unfinished: ckpt-6.manifest.json is missing" in ended.out
  flip(bad + DATA)
  ended = run.enter("verify")
  assert ended.status == 1
  assert f"ckpt-4: damaged: ckpt-4{DATA} was altered" in ended.out
  assert run.enter("verify", "--step=2").out == "checkpoints/ckpt-2: ok\n"
  assert run.enter("verify", "--step=4").status == 1
  os.remove(good + ".index")
  assert "ckpt-2: damaged: ckpt-2.index is missing" in run.enter("verify").out


def test_verify_of_nothing_whole_fails(run):
  ended = run.enter("verify")
  assert (ended.status, ended.err) == (1, "")
  assert "has no such checkpoint" in ended.out
  run.save(2, finished=False)
  assert run.enter("verify").status == 1


def test_diff_of_equal_ones_is_0(run):
  run.save(2, config={"train.seed": 2})
  run.save(4)
  run.save(6, versions={"numpy": "2"})
  ended = run.enter("diff")
  assert ended.status == 0, ended.err
  assert ended.out.splitlines() == [
    f"- {run.path}/checkpoints/ckpt-4",
    f"+ {run.path}/checkpoints/ckpt-6",
    "versions numpy: 1 | 2",
    "all variables are bitwise equal",
  ]
  ended = run.enter("diff", "--step=2", "--other_step=4")
  assert ended.status == 0
  assert "config train.seed: 2 | 1" in ended.out
  assert "config optimizer.learning_rate: nothing | 0.1" in ended.out


def test_diff_shows_the_largest_difference_first(run):
  run.save(2)
  run.variables["kernel"].assign([[3.0, 4.5]])
  run.variables["bias"].assign([-0.0, 0.0])
  run.variables["iterations"].assign(2)
  run.save(4)
  ended = run.enter("diff")
  assert ended.status == 1, ended.err
  assert ended.out.splitlines()[2:] == [
    "iterations: largest 2, relative norm inf",
    "kernel: largest 0.5, relative norm 0.1",
    "bias: largest 0, relative norm 0",
    "3 variables differ",
  ]


def test_diff_sees_what_only_one_has_and_other_shapes(run, tmp_path):
  other = Run(tmp_path / "other")
  for i in range(30):
    run.variables[f"many{i}"] = tf.Variable(1.0)
    other.variables[f"many{i}"] = tf.Variable(2.0 + i)
  del other.variables["bias"]
  other.variables["kernel"] = tf.Variable([[3.0], [4.0]])
  other.variables["name"] = tf.Variable("x")
  run.save(2)
  other.save(3, folder="best")
  ended = run.enter("diff", f"--other_dir={other.path}")
  assert ended.status == 1, ended.err
  lines = ended.out.splitlines()
  assert lines[2:5] == [
    "- only bias [2]",
    "kernel: float32[1, 2] | float32[2, 1]",
    "+ only name []",
  ]
  assert lines[5] == "many29: largest 30, relative norm 30"
  assert lines[24] == "many10: largest 11, relative norm 11"
  assert lines[25:] == [
    "and 10 more that differ by less",
    "33 variables differ",
  ]


def diff_of(tmp_path, *runs):
  output = tempfile.mkdtemp(dir=tmp_path)
  paths = (str(run.path) for run in runs)
  return enter(pathlib.Path(output), "launch.checkpoints", "diff", *paths)


def log(run, *points):
  lines = [{"kind": "train", "step": i, **x} for i, x in enumerate(points)]
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (run.path / "metrics.jsonl").write_text(text)


def test_diff_of_two_runs_finds_where_they_part(run, tmp_path):
  other = Run(tmp_path / "other")
  for step in (2, 4, 6):
    run.save(step)
    other.save(step)
    if step == 2:
      ended = diff_of(tmp_path, run, other)
      assert ended.status == 0, ended.err
      assert ended.out.endswith(" are bitwise equal (steps 2)\n")
      other.variables["bias"].assign_add([0.0, 1e-7])
  same = {"weights_sha256": "a", "share_losses": [0.5, 0.25]}
  log(run, same, same, same)
  log(other, same, same | {"share_losses": [0.5, 0.125]}, same)
  ended = diff_of(tmp_path, run, other)
  assert ended.status == 1
  assert ended.out.splitlines()[2:5] == [
    "log points: the first that differs is of step 1, share 1: "
    "loss 0.25 | 0.125",
    "checkpoints: the first that differs is of step 4",
    "bias: largest 1e-07, relative norm inf",
  ]


def test_diff_of_two_runs_says_what_their_logs_can_tell(run, tmp_path):
  other = Run(tmp_path / "other")
  ended = diff_of(tmp_path, run, other)
  assert ended.status == 2 and "--log_weights_digest" in ended.err
  log(run, {"weights_sha256": "a"}, {"weights_sha256": "b"})
  log(other, {"weights_sha256": "a"})
  ended = diff_of(tmp_path, run, other)
  assert ended.status == 0
  assert "log points: 1 are equal, up to step 0" in ended.out
  log(other, {"weights_sha256": "a"}, {"weights_sha256": "c"})
  ended = diff_of(tmp_path, run, other)
  assert ended.status == 1
  assert "the first that differs is of step 1, in the weights\n" in ended.out


def test_diff_refuses_what_is_damaged_or_not_there(run):
  run.save(2)
  ended = run.enter("diff")
  assert ended.status == 2
  assert "has no other one to compare: finished are the steps 2." in ended.err
  flip(run.save(4) + DATA)
  ended = run.enter("diff")
  assert ended.status == 2
  assert f"cannot be compared (ckpt-4{DATA} was altered" in ended.err
  ended = run.enter("diff", "--step=3")
  assert "no finished one of step 3" in ended.err
  assert len(ended.err.splitlines()) == 1


def test_prune_keeps_the_newest_whole_ones(run):
  for step in (2, 4, 6, 8):
    run.save(step)
  run.save(4, folder="best")
  run.save(10, finished=False)
  flip(run.path / "checkpoints" / f"ckpt-6{DATA}")
  (run.path / "checkpoints" / "ckpt-12_temp").mkdir()
  for stray in (
    "checkpoints/ckpt-12_temp/part-00000-of-00001.data-00000-of-00001",
    "checkpoints/ckpt-12.index.tempstate1",
    "result.json.1.2.part",
  ):
    (run.path / stray).write_text("x" * 100_000)
  before, size = run.files(), tree_size(run.path)
  dry = run.enter("prune", "--keep=2", "--dry_run")
  assert dry.status == 0, dry.err
  assert run.files() == before
  ended = run.enter("prune", "--keep=2")
  assert ended.status == 0, ended.err
  assert dry.out == ended.out.replace("deleted", "would be deleted").replace(
    "freed", "would be freed"
  )
  lines = ended.out.splitlines()
  assert [line.split(" (")[0] for line in lines[:-1]] == [
    "deleted: checkpoints/ckpt-2",
    "deleted: checkpoints/ckpt-6",
    "deleted: checkpoints/ckpt-10",
    "deleted: result.json.1.2.part",
    "deleted: checkpoints/ckpt-12.index.tempstate1",
    "deleted: checkpoints/ckpt-12_temp",
  ]
  assert f"damaged: ckpt-6{DATA} was altered" in lines[1]
  assert lines[-1] == "freed: 0.3 MB; kept: ckpt-4, ckpt-8"
  assert size - tree_size(run.path) > 300_000
  assert run.files() == ["checkpoint", *names(4, 8)]
  assert run.files("best") == names(4)
  assert sorted(os.listdir(run.path)) == ["best", "checkpoints", "config.yaml"]


def test_prune_touches_nothing_through_a_link_nor_what_is_not_the_runs(run):
  for step in (2, 4):
    run.save(step)
  canaries = run.path.parent / "canaries"
  (canaries / "part-00000-of-00001.index").parent.mkdir()
  for name in ("part-00000-of-00001.index", "x.part", "ckpt-1.index"):
    (canaries / name).write_text("precious")
  folder = run.path / "checkpoints"
  (folder / "ckpt-1_temp").symlink_to(canaries)
  (folder / "x.part").symlink_to(canaries)
  (folder / "ckpt-1.index").symlink_to(canaries / "ckpt-1.index")
  (folder / "ckpt-3_temp").mkdir()
  (folder / "ckpt-3_temp" / "notes.txt").write_text("precious")
  (run.path / "movie.mp4.part").write_text("precious")
  before = {str(x) for x in run.path.rglob("*")}
  ended = run.enter("prune", "--keep=1")
  assert ended.status == 0, ended.err
  assert (
    "left: checkpoints/ckpt-3_temp (not all of it is the run's)" in ended.out
  )
  gone = before - {str(x) for x in run.path.rglob("*")}
  assert gone == {str(folder / name) for name in names(2)}
  assert len(os.listdir(canaries)) == 3


def test_prune_deletes_before_it_writes_its_list(run, monkeypatch):
  """On a full disk nothing is written until there is room."""
  for step in (2, 4):
    run.save(step)

  def full(path, content):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(listing, "write_atomically", full)
  with Lock(str(run.path)) as lock:
    shelf.prune(str(run.path), 1, lock)
  assert run.files() == ["checkpoint", *names(4)]


def test_prune_needs_no_room(tmp_path, small_disk):  # noqa: F811
  run = Run(small_disk / "run")
  for step in (2, 4):
    run.save(step)
  fill(small_disk)
  flags = ("prune", "--keep=1", f"--model_dir={run.path}")
  ended = enter(tmp_path, "launch.checkpoints", *flags)
  assert ended.status == 0, ended.err
  assert {*names(4)} <= {*run.files()}
  assert not {*names(2)} & {*run.files()}


def test_what_cannot_be_read_now_is_not_pruned(run, monkeypatch, capsys):
  for step in (2, 4):
    run.save(step)
  stat = os.stat

  def fails(path, *args, **kwargs):
    if str(path).endswith("ckpt-4.index"):
      raise OSError(5, "Input/output error")
    return stat(path, *args, **kwargs)

  monkeypatch.setattr(os, "stat", fails)
  assert shelf.verify_all(str(run.path), None) == 1
  assert "ckpt-4: unknown: ckpt-4.index cannot be" in capsys.readouterr().out
  with Lock(str(run.path)) as lock:
    shelf.prune(str(run.path), 1, lock)
  assert "left: ckpt-4 (ckpt-4.index cannot be read" in capsys.readouterr().out
  assert set(names(2, 4)) < set(run.files())


def tree_size(directory):
  return sum(x.stat().st_size for x in directory.rglob("*") if x.is_file())


def test_tensorflow_agrees_with_what_was_pruned(run):
  for step in (2, 4, 6):
    run.save(step)
  kept = manifest.read_manifest(str(run.path / "checkpoints/ckpt-4")).time
  flip(run.path / "checkpoints" / "ckpt-6.index")
  assert run.enter("prune", "--keep=1").status == 0
  moved = shutil.move(run.path, run.path.parent / "moved")
  directory = os.path.join(moved, "checkpoints")
  state = tf.train.get_checkpoint_state(directory)
  assert list(state.all_model_checkpoint_paths) == [f"{directory}/ckpt-4"]
  assert state.model_checkpoint_path == f"{directory}/ckpt-4"
  assert list(state.all_model_checkpoint_timestamps) == [kept]
  assert tf.train.latest_checkpoint(directory) == f"{directory}/ckpt-4"
  value = tf.Variable([0.0, 0.0])
  tf.train.Checkpoint(bias=value).restore(f"{directory}/ckpt-4")
  np.testing.assert_array_equal(value, run.variables["bias"])


def test_prune_never_deletes_the_last(run):
  flip(run.save(2) + DATA)
  run.save(4, finished=False)
  before = run.files()
  ended = run.enter("prune", "--keep=1")
  assert ended.status == 2
  assert "has no whole checkpoint, so nothing is deleted" in ended.err
  assert run.files() == before
  for flag in ([], ["--keep=0"]):
    ended = run.enter("prune", *flag)
    assert ended.status == 2
    assert "keep" in ended.err
  assert run.files() == before


def test_prune_waits_for_no_job_but_refuses(run):
  run.save(2)
  run.save(4)
  before = run.files()
  with Lock(str(run.path)):
    ended = run.enter("prune", "--keep=1")
  assert ended.status == 2
  assert "in use by" in ended.err and f"(pid {os.getpid()} on" in ended.err
  assert run.files() == before


def test_prune_says_that_it_took_over_a_lock(run):
  run.save(2)
  lock = Lock(str(run.path), interval=3600.0)
  lock.acquire()
  path = run.path / "lock.json"
  record = json.loads(path.read_text())
  path.write_text(json.dumps({**record, "token": "x", "pid": 2**22 + 1}))
  ended = run.enter("prune", "--keep=1")
  assert ended.status == 0, ended.err
  assert ended.out.startswith("took over the lock of ")
  assert ended.out.endswith("freed: 0.0 MB; kept: ckpt-2\n")
  assert not path.exists()


@pytest.mark.parametrize(
  ("arguments", "complaint"),
  [
    ([], "the first word must be one of list, verify, diff, prune"),
    (["show", "--model_dir=x"], "the first word must be one of"),
    (["--model_dir=x", "list"], "the first word must be one of"),
    (["list"], "`model_dir` is not given"),
    (["list", "--model_dir=/nowhere"], "/nowhere holds no run"),
    (["list", f"--model_dir={os.path.dirname(__file__)}"], "holds no run"),
    (["list", "more", "--model_dir=x"], "'more' is no flag"),
    (["diff", "/nowhere"], "`diff RUN RUN` takes two directories"),
    (["diff", "a", "b", "--step=1"], "`diff RUN RUN` takes two directories"),
    (["diff", "/nowhere", "/there"], "/nowhere holds no run"),
  ],
)
def test_mistakes_are_one_line(tmp_path, arguments, complaint):
  ended = enter(tmp_path, "launch.checkpoints", *arguments)
  assert ended.status == 2
  assert complaint in ended.err
  assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--help"], ["prune", "--help"]])
def test_help_shows_all(tmp_path, arguments):
  ended = enter(tmp_path, "launch.checkpoints", *arguments)
  assert ended.status == 0
  for word in ("list", "verify", "diff", "prune", "--keep", "--other_dir"):
    assert f"  {word} " in ended.out

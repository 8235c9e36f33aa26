"""A run that is stopped anywhere goes on as if it had not been."""

import functools
import json
import os
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf

from engine.config import CheckpointConfig
from engine.durability import manifest
from engine.durability.checkpoints import Checkpoints
from engine.errors import Preempted, SaveFailed, StopRequested, UserError
from engine.loop.boundary import Boundary
from engine.loop.evaluator import Evaluator
from engine.measure.journal import Journal
from engine.run.experiment import Experiment
from tests.support.kept import kept
from tests.support.testing import LineTask, acting_at, strategy_of, tiny_config
from tests.support.training import lines

TRAIN = {"train_steps": 12, "global_batch_size": 8}
RUNTIME = {"steps_per_loop": 5, "log_example_ids": True}
# Looks at each step; log points stay where they are.
CLOSELY = {**RUNTIME, "steps_per_loop": 1, "log_interval": 5}


@kept
def run(directory, replicas=1, *, notices=None, allowed=(), task=None, **parts):
  return Experiment(
    config=tiny_config(
      **{"train": TRAIN, "runtime": RUNTIME, **parts},
    ),
    task=task or LineTask(dropout=0.25),
    model_dir=str(directory),
    strategy=strategy_of(replicas),
    notices=notices,
    allowed=allowed,
  ).run("train_and_eval")


class NoticeAt:
  """Notices of which the first comes at the n-th look."""

  def __init__(self, looks):
    self._looks = looks

  @property
  def reason(self):
    self._looks -= 1
    return "SIGTERM" if self._looks < 0 else ""

  def begin(self):
    pass


def points(directory):
  """What the journal says of training and evaluation, without the times."""
  timed = ("ledger", "work", "examples_per_second", "steps_per_second")
  return [
    {k: v for k, v in line.items() if k not in timed}
    for line in lines(directory, None)
  ]


def assert_same_run(whole, other):
  """Two runs, each a directory and a result, are one to the last bit."""
  (one, first), (other, second) = whole, other
  assert first["weights_sha256"] == second["weights_sha256"]
  assert first["eval"] == second["eval"]
  assert points(one) == points(other)
  ids = [lines(x, None, "example_ids.jsonl") for x in (one, other)]
  assert ids[0] == ids[1]
  assert [row["step"] for row in ids[0]] == list(range(TRAIN["train_steps"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """Uninterrupted runs, each trained once: replicas -> directory, result."""

  @functools.cache
  def run_of(replicas):
    directory = tmp_path_factory.mktemp("whole")
    return directory, run(directory, replicas)

  return run_of


def test_what_is_logged_as_evaluated_has_its_examples(tmp_path, monkeypatch):
  """It is not evaluated again, so what is not kept by then never is."""
  write = Journal.write

  def killed(log, kind, step, point):
    if kind == "eval":
      raise KeyboardInterrupt
    write(log, kind, step, point)

  monkeypatch.setattr(Journal, "write", killed)
  with pytest.raises(KeyboardInterrupt):
    run(tmp_path)
  assert (tmp_path / "examples/dev.npz").exists()


@pytest.mark.parametrize("replicas", [1, 4])
def test_a_notice_at_any_boundary_changes_no_bit(tmp_path, whole, replicas):
  """In loops and evaluations, again and again, between two log points too."""
  cut = tmp_path / "cut"
  stops = []
  for looks in (0, 1, 2, 2, 3, 3):
    try:
      result = run(cut, replicas, notices=NoticeAt(looks))
    except Preempted as stop:
      stops.append(int(str(stop).split("at step ")[1].split(",")[0]))
      assert "SIGTERM" in str(stop)
      continue
    break
  else:
    result = run(cut, replicas)
  assert len(stops) >= 4 and stops == sorted(stops)
  assert any(stop % RUNTIME["steps_per_loop"] for stop in stops)
  assert_same_run(whole(replicas), (cut, result))
  assert result["restarts"] == len(stops)


def test_a_notice_in_an_evaluation_does_it_again(tmp_path, whole, monkeypatch):
  with monkeypatch.context() as patch:

    def interrupted(evaluator, num_steps):
      raise StopRequested("SIGUSR1")

    patch.setattr(Evaluator, "evaluate", interrupted)
    with pytest.raises(Preempted, match="SIGUSR1: stopped at step 7, saved"):
      run(tmp_path / "cut")
  result = run(tmp_path / "cut")
  assert_same_run(whole(1), (tmp_path / "cut", result))


def test_4_then_2_then_1_then_4_replicas_are_one_run(tmp_path, whole):
  """Bits may differ: sums are made in another order."""
  directory, uninterrupted = whole(4)
  cut = tmp_path / "cut"
  for replicas, parts in ((4, 1), (2, 2), (1, 4)):
    with pytest.raises(Preempted):
      run(
        cut,
        replicas,
        notices=NoticeAt(2),
        train={**TRAIN, "accumulate_steps": parts},
      )
  result = run(cut, 4)
  assert result["restarts"] == 3
  ids = [lines(x, None, "example_ids.jsonl") for x in (directory, cut)]
  assert ids[0] == ids[1] and len(ids[0]) == 12
  for one, other in zip(points(directory), points(cut), strict=True):
    assert one["step"] == other["step"]
    np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-4)
  np.testing.assert_allclose(
    uninterrupted["eval"]["loss"], result["eval"]["loss"], rtol=1e-4
  )


def test_a_change_of_the_training_is_refused_unless_it_is_named(tmp_path):
  with pytest.raises(Preempted):
    run(tmp_path, notices=NoticeAt(2))
  other = {"optimizer": {"learning_rate": 0.5}}
  before = (tmp_path / "config.yaml").read_text()
  with pytest.raises(UserError, match=r"learning_rate: 0.001 -> 0.5.*--allow_"):
    run(tmp_path, **other)
  assert (tmp_path / "config.yaml").read_text() == before
  with pytest.raises(UserError, match="learning_rate"):
    run(tmp_path, allowed=["seed"], **other)
  with pytest.raises(Preempted):
    run(tmp_path, allowed=["learning_rate"], notices=NoticeAt(2), **other)
  # From here on it is that run: it needs no leave, though checkpoints of
  # before are still there.
  assert run(tmp_path, **other)["global_step"] == 12


def test_a_finished_run_that_is_extended_and_cut_off_is_not_finished(tmp_path):
  run(tmp_path)
  longer = {"train": {**TRAIN, "train_steps": 20}}
  with pytest.raises(Preempted):
    run(tmp_path, allowed=["train_steps"], notices=NoticeAt(1), **longer)
  assert run(tmp_path, **longer)["global_step"] == 20


def test_the_chief_removes_its_stop_file(tmp_path):
  tmp_path.joinpath("stop").touch()
  with pytest.raises(Preempted):
    run(tmp_path, notices=NoticeAt(1))
  assert not tmp_path.joinpath("stop").exists()


class Faulty(LineTask):
  """A loss or gradient that is not finite in the batches with example 13."""

  def __init__(self, what):
    super().__init__(dropout=0.25)
    self._what = what

  def source(self, split):
    source = super().source(split)
    if split == "train":
      source._arrays["labels"][13] += 2  # Marked: no class, but it is mended.
    return source

  def loss(self, labels, outputs):
    marked = labels > 1
    fine = super().loss(tf.where(marked, labels - 2, labels), outputs)
    if self._what == "loss":
      return tf.where(marked, float("nan"), fine)
    # The root has no finite slope at 0: a finite loss, a gradient that is not.
    return fine + tf.where(marked, tf.sqrt(0.0 * tf.reduce_sum(outputs)), 0.0)


def steps_of_example_13(directory):
  rows = lines(directory, None, "example_ids.jsonl")
  return [row["step"] for row in rows if 13 in row["ids"]]


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_is_named_and_reaches_no_checkpoint(
  tmp_path, whole, replicas, what
):
  steps = steps_of_example_13(whole(1)[0])
  name = "the loss" if what == "loss" else "the gradient of dense.*bias"
  frequent = CheckpointConfig(checkpoint_interval=1)
  with pytest.raises(
    FloatingPointError, match=f"In step {steps[0]} {name}.*is not finite"
  ):
    run(
      tmp_path / "bad",
      replicas,
      task=Faulty(what),
      checkpoint=vars(frequent),
    )
  kept = manifest.prefixes(str(tmp_path / "bad" / "checkpoints"))
  assert kept[-1].endswith(f"ckpt-{steps[0]}") or not steps[0]
  for prefix in kept:
    manifest.verify(prefix)
    reader = tf.train.load_checkpoint(prefix)
    for key in reader.get_variable_to_shape_map():
      value = reader.get_tensor(key)
      if getattr(value, "dtype", None) == np.float32:
        assert np.isfinite(value).all()


def test_a_batch_that_is_not_finite_can_be_skipped_and_is_counted(
  tmp_path, whole
):
  steps = steps_of_example_13(whole(1)[0])
  skip = {"train": {**TRAIN, "on_nonfinite": "skip"}}
  result = run(tmp_path / "whole", task=Faulty("loss"), **skip)
  assert result["skipped_batches"] == len(steps) > 0
  assert result["global_step"] == 12
  assert np.isfinite(result["eval"]["loss"])
  with pytest.raises(Preempted):
    run(tmp_path / "cut", task=Faulty("loss"), notices=NoticeAt(3), **skip)
  again = run(tmp_path / "cut", task=Faulty("loss"), **skip)
  assert again["skipped_batches"] == len(steps)
  assert_same_run((tmp_path / "whole", result), (tmp_path / "cut", again))


def test_training_ends_where_nothing_gets_better_and_remembers_it(tmp_path):
  settings = {
    "train": {"epochs": 9.0, "train_steps": 0, "global_batch_size": 8},
    "optimizer": {"learning_rate": 0.0},
    "evaluation": {"patience": 2},
  }
  whole = run(tmp_path / "whole", **settings)
  assert whole["stopped_early"]
  assert [row["step"] for row in lines(tmp_path / "whole", "eval")] == [
    7,
    14,
    20,
  ]
  with pytest.raises(Preempted):
    run(tmp_path / "cut", notices=NoticeAt(8), **settings)
  cut = run(tmp_path / "cut", **settings)
  assert (cut["global_step"], cut["weights_sha256"]) == (
    whole["global_step"],
    whole["weights_sha256"],
  )
  best = manifest.prefixes(str(tmp_path / "cut" / "best"))
  assert [os.path.basename(x) for x in best] == ["ckpt-7"]


def test_a_directory_that_another_job_took_over_is_left_alone(
  tmp_path, monkeypatch
):
  """As a holder that stood still finds it when it wakes."""

  def take_over():
    lock = tmp_path / "lock.json"
    record = json.loads(lock.read_text())
    lock.write_text(json.dumps({**record, "token": "another"}))

  monkeypatch.setattr(Boundary, "check", acting_at(5, take_over))
  with pytest.raises(UserError, match="was taken over by another job"):
    run(tmp_path, runtime=CLOSELY)
  assert manifest.prefixes(str(tmp_path / "checkpoints")) == []


@pytest.fixture
def small_disk(tmp_path):
  path = tmp_path / "disk"
  path.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(path)]
  if subprocess.run(mount, capture_output=True, check=False).returncode:
    pytest.skip("no tmpfs can be mounted here")
  yield path
  subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path):
  """Leaves no room on a disk."""
  with open(path / "ballast", "wb", buffering=0) as file:
    try:
      while file.write(bytes(4096)):
        pass
    except OSError:
      pass


def test_a_full_disk_is_told_and_the_run_goes_on_until_there_is_room(
  tmp_path, small_disk, monkeypatch, caplog
):
  settings = {"checkpoint": {"checkpoint_interval": 2, "max_to_keep": 9}}
  whole = tmp_path / "whole", run(tmp_path / "whole", **settings)
  save = Checkpoints.save
  kept = {}

  def fill_and_clear(manager, *args, **kwargs):
    step = int(manager._step_counter.numpy())
    if step in {6, 8}:
      manager.settle()  # The save before it has ended, well or not.
    if step == 6:
      fill(small_disk)
    if step == 8:
      kept["during"] = manifest.prefixes(manager.directory)
      (small_disk / "ballast").unlink(missing_ok=True)
    return save(manager, *args, **kwargs)

  monkeypatch.setattr(Checkpoints, "save", fill_and_clear)
  result = run(small_disk / "run", **settings)
  assert "could not be saved (No space left on device)" in caplog.text
  assert result["checkpoints"]["failed"] >= 1
  assert_same_run(whole, (small_disk / "run", result))
  whole_ones = filter(manifest.is_committed, kept["during"])
  steps = [manifest.verify(x).step for x in whole_ones]
  assert steps == [2, 4]
  left = manifest.prefixes(str(small_disk / "run/checkpoints"))
  assert [manifest.verify(x).step for x in left][-2:] == [10, 12]


def test_a_run_whose_last_save_fails_is_not_finished(
  whole, small_disk, monkeypatch
):
  monkeypatch.setattr(
    Boundary, "check", acting_at(10, lambda: fill(small_disk))
  )
  with pytest.raises(SaveFailed, match="make room there"):
    run(small_disk / "run", runtime=CLOSELY)
  assert not (small_disk / "run/result.json").exists()
  monkeypatch.undo()
  (small_disk / "ballast").unlink()
  result = run(small_disk / "run")
  assert_same_run(whole(1), (small_disk / "run", result))


def test_a_full_or_read_only_disk_is_refused_at_the_start(small_disk):
  fill(small_disk)
  with pytest.raises(UserError, match="cannot be written"):
    run(small_disk / "run")
  (small_disk / "ballast").unlink()
  mount = ["mount", "-o", "remount,ro", str(small_disk)]
  subprocess.run(mount, check=True)
  with pytest.raises(UserError, match="cannot be written"):
    run(small_disk / "run")


def test_work_and_goodput_are_those_of_the_whole_run(tmp_path):
  begun = time.time()
  stops = []
  for looks in (2, 2):  # In the middle of a device loop's log window too.
    with pytest.raises(Preempted):
      run(tmp_path, notices=NoticeAt(looks))
    stops.append(lines(tmp_path, None, "restarts.jsonl")[-1])
  result = run(tmp_path)
  wall = time.time() - begun
  # The first step of each process compiles and is not timed.
  assert result["train"]["timed_steps"] == 12 - 3
  assert stops[0]["work"]["steps"] < stops[1]["work"]["steps"] < 12 - 3
  booked = result["ledger"]
  for bucket in ("step", "compile", "start_up", "checkpoint"):
    assert booked[bucket] > stops[1]["ledger"][bucket] > 0
  total = sum(booked.values()) + result["down_seconds"]
  assert sum(booked.values()) <= total <= wall + 0.01
  assert result["goodput"] == pytest.approx(booked["step"] / total)

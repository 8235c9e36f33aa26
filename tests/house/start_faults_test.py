"""A start that is refused changes nothing; what is not finite is not kept."""

import dataclasses
import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from engine.durability import manifest
from engine.durability.lock import Lock
from engine.durability.run_directory import RunDirectory
from engine.errors import Busy, Preempted, UserError
from engine.loop import inputs
from engine.process.lock_record import own_record
from engine.run.found import facts_of
from engine.task import WEIGHTS, ArraySource
from launch.command.door import disk_fault
from tasks.data import pairs_on_disk
from tests.engine.run.resume_test import (
  TRAIN,
  NoticeAt,
  fill,
  run,
  small_disk,  # noqa: F401, a fixture
)
from tests.support.testing import LineTask, tiny_config, tiny_task
from tests.support.training import lines


class Changed(LineTask):
  """As `LineTask`, but for one example of a split, or its number of classes."""

  def __init__(self, split="", classes=2):
    super().__init__(dropout=0.25)
    self._split, self._classes = split, classes

  def source(self, split):
    source = super().source(split)
    if split == self._split:
      source._arrays["labels"][3] ^= 1
    return source

  def build_model(self):
    x = tf_keras.Input([8])
    hidden = tf_keras.layers.Dense(16, activation="tanh")(x)
    logits = tf_keras.layers.Dense(self._classes, dtype="float32")(hidden)
    return tf_keras.Model({"x": x}, logits)


def tree(directory):
  """Each file and folder below a directory, with what it holds."""
  return {
    os.path.join(folder, name): hashlib.sha256(
      b"" if name in folders else open(os.path.join(folder, name), "rb").read()
    ).hexdigest()
    for folder, folders, files in os.walk(directory)
    for name in [*folders, *files]
  }


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
  """A run that has reached its end; tests copy it."""
  path = tmp_path_factory.mktemp("ended") / "run"
  run(path)
  return path


@pytest.fixture
def copy(ended, tmp_path):
  return shutil.copytree(ended, tmp_path / "run")


class Joining(LineTask):
  """With a metric that nobody can take arrays for."""

  more_metrics = {"join": os.path.join}

  def __init__(self):
    super().__init__(dropout=0.25)


REFUSED = {
  "another seed": ({"train": {**TRAIN, "seed": 5}}, "train.seed: 0 -> 5"),
  "a precision that does not fit": (
    {"train": {**TRAIN, "precision": "float16"}, "allowed": ["precision"]},
    "is whole, but does not fit",
  ),
  "averages that there are none of": (
    {"optimizer": {"average_decay": 0.9}, "allowed": ["average_decay"]},
    "is whole, but does not fit",
  ),
  "other shapes": (
    {
      "task": Changed(classes=3),
      "optimizer": {"clip_norm": 2.0},
      "allowed": ["clip_norm"],
    },
    "is whole, but does not fit",
  ),
  "a metric that no evaluation has": (
    {
      "train": {**TRAIN, "train_steps": 20},
      "checkpoint": {"best_metric": "f2"},
      "allowed": ["train_steps"],
    },
    "`best_metric` is 'f2', but an evaluation has loss, examples_seen, acc",
  ),
  "a metric that can only fail": (
    {
      "train": {**TRAIN, "train_steps": 20},
      "task": Joining(),
      "allowed": ["train_steps"],
    },
    "`metric` join fails",
  ),
  "other training data": (
    {"task": Changed("train")},
    r"train: 53 examples with digest \w{8} -> 53 .*change=data.train",
  ),
  "other evaluation data": (
    {"task": Changed("dev")},
    r"dev: 53 examples with digest \w{8} -> 53 .*change=data.dev",
  ),
}


@pytest.mark.parametrize(
  "value", [ValueError, AssertionError, RuntimeError, np.nan]
)
def test_a_metric_may_need_more_examples_than_a_batch_has(tmp_path, value):
  def picky(labels, outputs):
    if len(labels) == 53:
      return 1.0
    if value is np.nan:
      return value
    raise value

  task = LineTask(dropout=0.25)
  task.more_metrics = {"picky": picky}
  assert run(tmp_path, task=task)["eval"]["picky"] == 1.0


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_start_leaves_each_byte(copy, case):
  settings, complaint = REFUSED[case]
  before = tree(copy)
  with pytest.raises(UserError, match=complaint):
    run(copy, **settings)
  assert tree(copy) == before
  assert run(copy)["global_step"] == 12  # The old command still works,
  assert tree(copy) == before  # and has nothing to write.


@pytest.mark.parametrize("lost", ["all are damaged", "all are gone"])
def test_a_run_without_checkpoints_is_not_begun_anew(copy, lost):
  (copy / "result.json").unlink()
  if lost == "all are gone":
    shutil.rmtree(copy / "checkpoints")
  else:
    for path in (copy / "checkpoints").glob("*.index"):
      path.write_bytes(b"")
  before = tree(copy)
  with pytest.raises(UserError, match="checkpoint"):
    run(copy)
  assert tree(copy) == before


def test_a_run_that_another_job_began_meanwhile_is_its_own(
  tmp_path, monkeypatch
):
  """It had the lock, which we waited for: what counts is what is there now."""
  acquire = Lock.acquire

  def wait(lock):
    config = tiny_config(train={**TRAIN, "seed": 7})
    RunDirectory(str(tmp_path)).create(config)
    return acquire(lock)

  monkeypatch.setattr(Lock, "acquire", wait)
  with pytest.raises(UserError, match="train.seed: 7 -> 0"):
    run(tmp_path)
  assert os.listdir(tmp_path) == ["config.yaml"]


def test_a_full_disk_is_said_before_anything_changes(small_disk):  # noqa: F811
  with pytest.raises(Preempted):
    run(small_disk / "run", notices=NoticeAt(2))
  fill(small_disk)
  with open(small_disk / "ballast", "r+b") as file:
    file.truncate(os.path.getsize(file.name) - 2**13)  # The lock has room.
  before = tree(small_disk / "run")
  with pytest.raises(UserError, match="cannot be written .No space left"):
    run(small_disk / "run")
  assert tree(small_disk / "run") == before


def test_data_that_may_differ_are_noted_and_evaluated_again(copy):
  first = lines(copy, "eval")
  result = run(copy, task=Changed("dev"), allowed=["data.dev"])
  again = lines(copy, "eval")
  assert [x["step"] for x in again] == [x["step"] for x in first]
  assert again[:-1] == first[:-1]
  assert result["eval"]["loss"] == again[-1]["loss"] != first[-1]["loss"]
  assert run(copy, task=Changed("dev")) == result
  with pytest.raises(UserError, match="other data"):
    run(copy)  # Now those of before are the others.


def test_an_older_run_has_its_data_noted_when_it_goes_on(copy):
  (copy / "data.json").unlink()
  (copy / "result.json").unlink()
  run(copy, task=Changed("train"))
  with pytest.raises(UserError, match="other data"):
    run(copy)


def written(path, rows):
  path.parent.mkdir(exist_ok=True)
  text = "".join(f"{a}\t{b}\t{label}\n" for a, b, label in rows)
  path.write_text(f"text_a\ttext_b\tlabel\n{text}")
  return str(path)


@pytest.mark.parametrize("large", [2**27, 0])
def test_data_are_what_files_hold_not_where_they_are(
  tmp_path, monkeypatch, large
):
  monkeypatch.setattr(pairs_on_disk, "LARGE", large)
  rows = [("a cat", "a dog", "no"), ("it rains", "rain falls", "yes")] * 4

  def facts(folder, rows, **settings):
    path = written(tmp_path / folder / "train.tsv", rows)
    task = tiny_task(name="pairs", train_file=path, **settings)
    return facts_of(task.source("train"))

  here = facts("here", rows)
  assert here["examples"] == 8
  assert facts("there", rows) == here
  swapped = [rows[1], rows[0], *rows[2:]]
  relabelled = [(*rows[0][:2], "yes"), *rows[1:]]
  other = [("a cow", *rows[0][1:]), *rows[1:]]
  apart = swapped, relabelled, other, rows[:-1]
  each = [facts(f"file {i}", x) for i, x in enumerate(apart)]
  each.append(facts("here", rows, class_weights=("1", "2")))
  assert len({x["digest"] for x in [here, *each]}) == 6


@pytest.mark.parametrize("behaviour", ["stop", "skip"])
def test_weights_that_overflow_behind_a_fine_gradient_are_not_kept(
  tmp_path, behaviour
):
  with pytest.raises(FloatingPointError, match="kernel:0 is not finite, thou"):
    run(
      tmp_path,
      optimizer={"beta_1": 1 - 1e-9},  # A divisor that is 0.
      train={**TRAIN, "on_nonfinite": behaviour},
      checkpoint={"checkpoint_interval": 1},
    )
  kept = manifest.prefixes(str(tmp_path / "checkpoints"))
  assert len(kept) < 2  # That of step 1, where the rate was still 0.
  for prefix in kept:
    reader = tf.train.load_checkpoint(prefix)
    for key, dtype in reader.get_variable_to_dtype_map().items():
      assert not dtype.is_floating or np.isfinite(reader.get_tensor(key)).all()


@pytest.mark.parametrize("name", ["epsilon", "clip_norm"])
@pytest.mark.parametrize("value", [float("nan"), 1e39])
def test_a_setting_is_finite_in_float32(name, value):
  optimizer = tiny_config().optimizer
  with pytest.raises(UserError, match=f"`{name}` is .*finite"):
    dataclasses.replace(optimizer, **{name: value})


@pytest.mark.parametrize(
  "name", ["learning_rate", "end_learning_rate", "weight_decay"]
)
def test_a_step_is_not_larger_than_weights_can_be(name):
  with pytest.raises(UserError, match=f"`{name}` is 1e\\+17, but .* 1000"):
    dataclasses.replace(tiny_config().optimizer, **{name: 1e17})


def test_weights_to_begin_with_are_finite(tmp_path):
  class Broken(LineTask):
    def initialize(self, model, seed):
      super().initialize(model, seed)
      model.weights[0][3, 4].assign(float("nan"))

  with pytest.raises(FloatingPointError, match="At step 0 .*kernel:0 is not"):
    run(tmp_path, task=Broken())
  assert os.listdir(tmp_path) == []


class Weightless(LineTask):
  """Examples of which the first of 20 weigh something."""

  def source(self, split):
    arrays = {**super().source(split)._arrays}
    weights = arrays.pop(WEIGHTS)
    labels = arrays.pop("labels")
    if split == "train":
      weights = np.where(np.arange(len(labels)) < 20, weights, 0)
    return ArraySource(arrays, labels, weights)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_batch_that_weighs_nothing_is_said_to_be_that(
  tmp_path, precision, caplog, monkeypatch
):
  monkeypatch.setattr(inputs, "_TOLD_BATCHES", 2**31)  # Of this process.
  train = {**TRAIN, "global_batch_size": 1, "precision": precision}
  with caplog.at_level("WARNING"):
    result = run(tmp_path, train=train, task=Weightless())
  assert result["skipped_batches"] == 0
  if precision == "float32":  # It is said some times in a process.
    assert "All 1 examples of batch" in caplog.text
  else:  # Nothing has overflowed.
    assert {x["loss_scale"] for x in lines(tmp_path, "train")} == {2.0**15}


@pytest.mark.parametrize("parent", ["lives", "has ended"])
def test_a_job_that_ends_with_its_launcher_is_waited_for(tmp_path, parent):
  pid = os.getppid() if parent == "lives" else 2**22 + 1
  (tmp_path / "lock.json").write_text(json.dumps(own_record(5.0, 0.0, pid)))
  refusal = UserError if parent == "lives" else Busy
  with pytest.raises(refusal, match="is in use by"):
    Lock(str(tmp_path)).acquire()


def test_what_a_disk_refuses_is_one_line_whoever_writes():
  full = "/disk/file; No space left on device"
  assert disk_fault(OSError(28, "No space left on device", "/disk/file"))
  assert disk_fault(OSError("Unable to write (No space left on device)"))
  op = "{{function_node __wrapped__SaveV2_device_/job:localhost/task:0}}"
  for text in (full, f"{op} {full} [Op:SaveV2]"):
    assert (
      disk_fault(tf.errors.ResourceExhaustedError(None, None, text)) == full
    )
  assert not disk_fault(tf.errors.ResourceExhaustedError(None, None, "OOM"))
  assert not disk_fault(ValueError("No space left on device"))
  assert not disk_fault(FileNotFoundError(2, "No such file or directory"))

"""Checkpoints lie at multiples of the interval; damage is said."""

import os

import pytest
import tensorflow as tf

from engine.checkpoints import Checkpoints, restore_newest
from engine.errors import UserError
from engine.ledger import Ledger


def manager(directory, step, value, interval=3, initialize=lambda: None):
  return Checkpoints(
    tf.train.Checkpoint(value=value, global_step=step),
    directory=str(directory),
    global_step=step,
    interval=interval,
    max_to_keep=2,
    initialize=initialize,
    ledger=Ledger(),
  )


def steps(directory):
  return sorted(
    int(name.split("-")[1].split(".")[0])
    for name in os.listdir(directory)
    if name.endswith(".index")
  )


@pytest.fixture
def saved(tmp_path):
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  checkpoints = manager(tmp_path, step, value)
  for now in range(1, 11):
    step.assign(now)
    value.assign(now / 2)
    checkpoints.save(checkpoint_number=now)
  return tmp_path


def test_saves_at_multiples_and_keeps_the_newest(saved):
  assert steps(saved) == [6, 9]


def test_an_unchecked_save_saves_once(saved):
  step, value = tf.Variable(9, dtype=tf.int64), tf.Variable(4.5)
  checkpoints = manager(saved, step, value)
  checkpoints.restore_or_initialize()
  assert checkpoints.save(checkpoint_number=9, check_interval=False) is None
  step.assign(10)
  checkpoints.save(checkpoint_number=10, check_interval=False)
  assert steps(saved) == [9, 10]


def test_restores_the_newest_or_initializes(saved, tmp_path_factory):
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  made = []
  checkpoints = manager(saved, step, value, initialize=lambda: made.append(1))
  assert checkpoints.restore_or_initialize().endswith("ckpt-9")
  assert (int(step), float(value), made) == (9, 4.5, [])
  fresh = manager(
    tmp_path_factory.mktemp("fresh"),
    step,
    value,
    initialize=lambda: made.append(1),
  )
  assert fresh.restore_or_initialize() is None
  assert fresh.restore_or_initialize() is None
  assert made == [1]


def test_an_interval_of_zero_is_refused(tmp_path):
  with pytest.raises(AssertionError):
    manager(tmp_path, tf.Variable(0), tf.Variable(0.0), interval=0)


@pytest.mark.parametrize("damage", ["truncate", "flip", "other model"])
def test_a_damaged_checkpoint_is_skipped_and_said(saved, damage, caplog):
  path = saved / "ckpt-9.data-00000-of-00001"
  content = bytearray(path.read_bytes())
  shape = []
  if damage == "truncate":
    path.write_bytes(content[:3])
  elif damage == "flip":
    path.write_bytes(bytes(byte ^ 255 for byte in content))
  else:
    shape = [2]
  target = tf.train.Checkpoint(value=tf.Variable(tf.zeros(shape)))
  if damage == "other model":
    with pytest.raises(UserError, match=r"ckpt-6 cannot be restored"):
      restore_newest(target, str(saved))
  else:
    assert restore_newest(target, str(saved)).endswith("ckpt-6")
    assert float(target.value) == 3.0
    assert "ckpt-9 cannot be restored" in caplog.text


def test_a_run_goes_on_over_a_damaged_checkpoint(saved):
  for path in saved.glob("ckpt-9*"):
    path.unlink()
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  checkpoints = manager(saved, step, value)
  assert checkpoints.restore_or_initialize().endswith("ckpt-6")
  step.assign(9)
  assert checkpoints.save(checkpoint_number=9).endswith("ckpt-9")
  assert restore_newest(tf.train.Checkpoint(value=value), str(saved)).endswith(
    "ckpt-9"
  )


def test_no_checkpoint(tmp_path):
  with pytest.raises(UserError, match="has no checkpoint: train first"):
    restore_newest(tf.train.Checkpoint(), str(tmp_path))

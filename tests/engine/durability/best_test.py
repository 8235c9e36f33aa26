"""The weights of the best evaluations are kept, and found again."""

import os

import pytest
import tensorflow as tf

from engine.durability import manifest
from engine.durability.best import BestCheckpoints
from engine.durability.committer import Committer
from engine.durability.restore import restore_best
from engine.errors import SaveFailed, UserError
from engine.measure.goal import Goal
from engine.measure.ledger import Ledger
from tests.engine.durability.checkpoints_test import steps


def best(directory, sign, keep=2, weights=None, newest="", committer=None):
  return BestCheckpoints(
    tf.train.Checkpoint(
      weights=tf.Variable(0.0) if weights is None else weights
    ),
    directory=str(directory),
    goal=Goal("score", sign),
    max_to_keep=keep,
    committer=committer or Committer(config={}, versions={}),
    ledger=Ledger(),
    newest=str(newest),
  )


@pytest.mark.parametrize(("sign", "kept"), [(1, [3, 5]), (-1, [1, 2])])
def test_the_best_are_kept_and_remembered(tmp_path, sign, kept):
  for step, score in enumerate([0.1, 0.2, 0.9, float("nan"), 0.5, 0.5], 1):
    best(tmp_path, sign).offer(step, {"score": score, "confusion": [[1]]})
  assert steps(tmp_path) == kept
  found = manifest.verify(str(tmp_path / f"ckpt-{kept[0]}"))
  assert found.metrics["score"] == {3: 0.9, 1: 0.1}[kept[0]]
  best(tmp_path, sign).rewind(kept[0])
  assert steps(tmp_path) == kept[:1]


def test_the_best_is_restored_and_a_damaged_one_passed_over(tmp_path):
  weights = tf.Variable(0.0)
  keeper = best(tmp_path, 1, keep=3, weights=weights)
  for step, score in enumerate([0.5, 0.9, 0.7], 1):
    weights.assign(float(step))
    assert keeper.offer(step, {"score": score})
  target = tf.train.Checkpoint(weights=tf.Variable(0.0))
  goal = {"metric": "score", "sign": 1}
  assert restore_best(target, str(tmp_path), **goal).endswith("ckpt-2")
  assert float(target.weights) == 2.0
  (tmp_path / "ckpt-2.index").write_bytes(b"")
  assert restore_best(target, str(tmp_path), **goal).endswith("ckpt-3")
  with pytest.raises(UserError, match="has no whole checkpoint"):
    restore_best(target, str(tmp_path / "none"), **goal)


def test_a_metric_that_no_evaluation_has_is_named(tmp_path):
  with pytest.raises(UserError, match="'score', but an evaluation has loss"):
    best(tmp_path, 1).offer(1, {"loss": 0.5})
  assert not best(tmp_path, 1, keep=0).offer(1, {"loss": 0.5})


@pytest.fixture
def kept(tmp_path):
  """(best, checkpoints) with the weights of step 4 in both."""
  weights = tf.Variable(4.0)
  for folder in ("best", "checkpoints"):
    keeper = best(tmp_path / folder, 1, 1, weights)
    assert keeper.offer(4, {"score": 0.9})
  return tmp_path / "best", tmp_path / "checkpoints"


DAMAGE = {
  "index away": lambda x: (x / "ckpt-4.index").unlink(),
  "data flipped": lambda x: flip(x / "ckpt-4.data-00000-of-00001"),
  "manifest emptied": lambda x: (x / "ckpt-4.manifest.json").write_bytes(b""),
}


def flip(path):
  content = path.read_bytes()
  path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_best_weights_are_copied_from_a_newest_checkpoint(
  kept, damage, caplog
):
  directory, newest = kept
  DAMAGE[damage](directory)
  keeper = best(directory, 1, 1, newest=newest)
  keeper.rewind(4, [{"step": 4, "score": 0.9}])
  assert "best/ckpt-4 was copied from" in caplog.text
  found = manifest.verify(str(directory / "ckpt-4"))
  assert found.metrics == {"score": 0.9}
  assert keeper.finish() == []
  target = tf.train.Checkpoint(weights=tf.Variable(0.0))
  restore_best(target, str(directory), metric="score", sign=1)
  assert float(target.weights) == 4.0


@pytest.mark.parametrize("damage", DAMAGE)
def test_best_weights_that_nothing_has_are_lost_and_the_next_best_kept(
  kept, damage, caplog
):
  directory, _ = kept
  before = set(directory.iterdir())
  DAMAGE[damage](directory)
  damaged = {x for x in before if x.exists()}
  keeper = best(directory, 1, 1)
  keeper.rewind(4, [{"step": 4, "score": 0.9}])
  assert "weights of step 4, among the best, are lost" in caplog.text
  assert keeper.offer(6, {"score": 0.5})
  assert keeper.finish() == [4]
  assert damaged <= set(directory.iterdir())  # Somebody may mend it.
  assert manifest.verify(str(directory / "ckpt-6")).step == 6


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_while_a_run_trains_ends_nothing(kept, damage):
  directory, newest = kept
  keeper = best(directory, 1, 1, newest=newest)
  keeper.rewind(4)
  DAMAGE[damage](directory)
  assert not keeper.offer(6, {"score": 0.5})
  assert keeper.finish() == []
  if damage != "data flipped":  # The contents were read once, at the start.
    manifest.verify(str(directory / "ckpt-4"))


def test_a_resume_reads_the_best_weights_once(kept, monkeypatch):
  directory, newest = kept
  read, sha256_of = [], manifest.sha256_of
  monkeypatch.setattr(
    manifest, "sha256_of", lambda path: read.append(path) or sha256_of(path)
  )
  keeper = best(directory, 1, 1, newest=newest)
  keeper.rewind(4, [{"step": 4, "score": 0.9}])
  files = {"ckpt-4.index", "ckpt-4.data-00000-of-00001"}
  assert sorted(map(os.path.basename, read)) == sorted(files)


def test_a_read_error_deletes_nothing(kept, monkeypatch, caplog):
  directory, newest = kept
  files = sorted(directory.iterdir())
  stat = os.stat

  def fails(path, *args, **kwargs):
    if str(path).startswith(str(directory / "ckpt-4")):
      raise OSError(5, "Input/output error")
    return stat(path, *args, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(os, "stat", fails)
    keeper = best(directory, 1, 1, newest=newest)
    keeper.rewind(4, [{"step": 4, "score": 0.9}])
    assert not keeper.offer(6, {"score": 0.5})
    assert keeper.finish() == []
  assert "Input/output error" in caplog.text
  assert sorted(directory.iterdir()) == files
  assert manifest.verify(str(directory / "ckpt-4")).step == 4


def test_what_finds_no_room_is_tried_again_and_the_worse_one_kept_till_then(
  kept, monkeypatch
):
  directory, newest = kept
  full = [True]

  class OnASmallDisk(Committer):
    def commit(self, *args, **kwargs):
      if full:
        raise OSError(28, "No space left on device")
      super().commit(*args, **kwargs)

  disk = OnASmallDisk(config={}, versions={})
  weights = tf.Variable(6.0)
  keeper = best(directory, 1, 1, weights, newest, disk)
  keeper.rewind(4)
  assert best(newest, 1, 2, weights).offer(6, {"score": 1.0})  # Saved beside.
  assert not keeper.offer(6, {"score": 1.0})
  assert steps(directory) == [4]
  with pytest.raises(SaveFailed, match="best/ckpt-6 could not be written"):
    keeper.finish()
  assert steps(directory) == [4]
  again = best(directory, 1, 1, newest=newest)  # The next process does it too.
  with monkeypatch.context() as patch:
    patch.setattr(again, "_write", lambda step, write: False)
    again.rewind(6, [{"step": 6, "score": 1.0}])
    with pytest.raises(SaveFailed, match="best/ckpt-6 could not be written"):
      again.finish()
  full.clear()
  weights.assign(8.0)
  assert not keeper.offer(8, {"score": 0.1})
  assert steps(directory) == [6]
  assert keeper.finish() == []
  target = tf.train.Checkpoint(weights=tf.Variable(0.0))
  restore_best(target, str(directory), metric="score", sign=1)
  assert float(target.weights) == 6.0

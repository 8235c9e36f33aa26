"""The weights of the best evaluations are kept, and found again."""

import pytest
import tensorflow as tf

from engine.durability import manifest
from engine.durability.best import BestCheckpoints, Goal
from engine.durability.committer import Committer
from engine.durability.restore import restore_best
from engine.errors import UserError
from engine.measure.ledger import Ledger
from tests.engine.durability.checkpoints_test import steps


def best(directory, sign, keep=2, weights=None):
  return BestCheckpoints(
    tf.train.Checkpoint(
      weights=tf.Variable(0.0) if weights is None else weights
    ),
    directory=str(directory),
    goal=Goal("score", sign),
    max_to_keep=keep,
    committer=Committer(config={}, versions={}),
    ledger=Ledger(),
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

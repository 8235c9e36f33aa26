"""Every example counts once, on any replicas and batch size."""

import functools

import numpy as np
import pytest

from engine.loop.evaluator import build_evaluator, in_order
from engine.measure.ledger import Ledger
from tasks.config import SentencePairConfig
from tasks.data.datasets import answers_of, read_split
from tests.support.testing import LineTask, strategy_of, tiny_task


def build(replicas, batch_size, batching, bias=(0.0, 0.0)):
  evaluator, model = built(replicas, batch_size, batching)
  model.head.bias.assign(bias)
  return evaluator


@functools.cache
def built(replicas, batch_size, batching):
  """An evaluator, and the model that it evaluates."""
  task = tiny_task(batching=batching, max_seq_length=96)
  config = SentencePairConfig()
  pairs = read_split(config, "dev", answers_of(config))[:53]
  strategy = strategy_of(replicas)
  with strategy.scope():
    model = task.build_model()
    task.initialize(model, seed=3)
  evaluator = build_evaluator(
    task=task,
    model=model,
    source=task.pair_source(pairs),
    strategy=strategy,
    batch_size=batch_size,
    ledger=Ledger(),
  )
  return evaluator, model


def test_a_loss_that_is_not_finite_is_told():
  evaluator = build(1, 53, "pad", bias=(float("inf"), 0.0))
  with pytest.raises(FloatingPointError, match="of 53 of 53 examples is not"):
    evaluator.evaluate(np.int32(-1))


@pytest.fixture(scope="module")
def balanced():
  """A bias with which random weights call about half of the pairs each."""
  logits = build(1, 53, "pad").predictions()["outputs"]
  # In the middle of the gap: no rounding moves a pair to the other class.
  gap = np.sort(logits[:, 0] - logits[:, 1])[20:33]
  widest = np.argmax(np.diff(gap))
  return 0.0, float(gap[widest : widest + 2].mean())


@pytest.fixture(scope="module")
def reference(balanced):
  evaluator = build(1, 1, "pad", balanced)
  return evaluator.evaluate(np.int32(-1)), evaluator.predictions()


@pytest.mark.parametrize(
  ("replicas", "batch_size", "batching"),
  [(1, 8, "pad"), (4, 8, "pad"), (1, 32, "pack"), (4, 64, "pack")],
)
def test_metrics_of_53_examples(
  reference, balanced, replicas, batch_size, batching
):
  expected, table = reference
  evaluator = build(replicas, batch_size, batching, balanced)
  got = evaluator.evaluate(np.int32(-1))
  assert got["examples_seen"] == 53
  assert got["confusion"] == expected["confusion"]
  np.testing.assert_allclose(got["loss"], expected["loss"], rtol=1e-6)
  np.testing.assert_allclose(
    evaluator.predictions()["outputs"], table["outputs"], atol=1e-6
  )


def test_the_reference_is_not_trivial(reference):
  evaluation, _ = reference
  confusion = np.array(evaluation["confusion"])
  assert confusion.sum() == 53
  assert np.all(confusion.sum(axis=0) >= 20)  # Both classes are predicted.
  true = confusion[0, 0] + confusion[1, 1]
  assert evaluation["accuracy"] == pytest.approx(true / 53)


def test_all_are_asked_when_they_said_and_no_pace_is_made_up(monkeypatch):
  """A pace of nothing would put the next question off for the whole split."""
  evaluator = build(1, 8, "pad")
  asked = []

  class Asked:
    def ask(self, seconds):
      asked.append(seconds)
      return 1 if len(asked) < 3 else 100

  monkeypatch.setattr(evaluator, "_boundary", Asked())
  assert len(evaluator.predictions()["labels"]) == 53  # Seven batches.
  assert asked[0] == 0.0 and len(asked) == 3
  assert min(asked[1:]) > 0.0


def test_a_missing_or_doubled_example_is_noticed():
  batch = {"examples": np.array([0, 1, 1]), "x": np.zeros(3)}
  with pytest.raises(AssertionError):
    in_order(batch, 3)
  with pytest.raises(AssertionError):
    in_order({"examples": np.array([0, 2, -1]), "x": np.zeros(3)}, 3)


def test_padding_goes_and_order_comes_back():
  examples = np.array([2, -1, 0, 1])
  x = np.array([[5.0], [9.0], [3.0], [4.0]])
  table = in_order({"examples": examples, "x": x}, 3)
  np.testing.assert_array_equal(table["x"], [[3.0], [4.0], [5.0]])


def test_a_task_of_another_kind():
  task = LineTask()
  model = task.build_model()
  task.initialize(model, seed=0)
  evaluator = build_evaluator(
    task=task,
    model=model,
    source=task.source("dev"),
    strategy=strategy_of(1),
    batch_size=8,
    ledger=Ledger(),
  )
  assert evaluator.evaluate(np.int32(-1))["examples_seen"] == 53

"""Runs in this process share programs, and nothing else."""

import pytest
import tensorflow as tf

from tests.support import kept
from tests.support.testing import LineTask
from tests.support.training import run

STEPS = {}


def train(directory, task=LineTask, run=run, **train):
  train = {"global_batch_size": 8, **train}
  return run(directory, task=task(dropout=0.25), train=train)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_second_of_equal_runs_traces_nothing_and_has_the_same_bits(
  tmp_path, monkeypatch, precision
):
  forward, traced = LineTask.forward, []

  def counted(*args):
    traced.append(args)
    return forward(*args)

  monkeypatch.setattr(LineTask, "forward", counted)
  monkeypatch.setattr(kept, "_built", {})  # Other tests have such runs.
  runs = [train(tmp_path / "new", run=run.__wrapped__, precision=precision)]
  for name in ("first", "second", "third"):
    before = len(traced)
    runs.append(train(tmp_path / name, precision=precision))
    assert (len(traced) > before) == (name == "first")
  for fact in ("weights_sha256", "eval", "traces", "global_step"):
    assert len({str(x[fact]) for x in runs}) == 1


class Leaky(LineTask):
  """Keeps a number from step to step that no checkpoint has."""

  def forward(self, model, features, random):
    STEPS["variable"].assign_add(1.0)
    return super().forward(model, features, random)


def test_a_program_that_keeps_something_elsewhere_is_not_shared(tmp_path):
  STEPS["variable"] = tf.Variable(0.0)
  train(tmp_path / "first", Leaky)
  with pytest.raises(AssertionError, match="keeps what no run has created"):
    train(tmp_path / "second", Leaky)

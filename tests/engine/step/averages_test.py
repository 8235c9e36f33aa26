"""The moving average of the weights: its values, and who sees it."""

import numpy as np
import pytest
import tensorflow as tf

from engine.durability import manifest
from engine.errors import UserError
from engine.loop.evaluator import Evaluator
from engine.step.averages import Averages
from launch.trained.restored import restore_run
from tests.engine.run.resume_test import (
  NoticeAt,
  Preempted,
  assert_same_run,
  run,
)
from tests.support.testing import LineTask, strategy_of, tiny_config

DECAY = {"optimizer": {"average_decay": 0.5, "learning_rate": 0.1}}


def restored(directory):
  """Weights and averages of the newest checkpoint."""
  newest = manifest.prefixes(f"{directory}/checkpoints")[-1]
  reader = tf.train.load_checkpoint(newest)
  names = sorted(reader.get_variable_to_shape_map())
  return [
    {n: reader.get_tensor(n) for n in names if n.startswith(of)}
    for of in ("model/", "averages/values/")
  ]


def test_it_is_the_average_that_tensorflow_computes():
  """Both are told the step, so that young averages move faster."""
  variable = tf.Variable([1.0, -2.0])
  theirs = tf.train.ExponentialMovingAverage(0.5, num_updates=None)
  ours = Averages([variable], 0.5)
  ours.begin()
  theirs = variable.numpy()
  for step in range(20):
    variable.assign(tf.sin(variable * (step + 1)))
    ours.update(0, variable, tf.constant(float(step)), True)
    decay = np.float32(min(0.5, (1 + step) / (10 + step)))
    theirs = theirs * decay + variable.numpy() * (1 - decay)
    ours.update(0, variable * 0 + 9, tf.constant(float(step)), False)
    np.testing.assert_allclose(ours.values[0], theirs, rtol=1e-5)


def test_the_model_has_the_averages_for_a_while_only():
  variable = tf.Variable([1.0, 2.0])
  averages = Averages([variable], 0.9)
  with pytest.raises(KeyError), averages.in_place():
    assert variable.numpy().tolist() == [0, 0]
    raise KeyError
  assert variable.numpy().tolist() == [1, 2]
  assert averages.values[0].numpy().tolist() == [0, 0]


def test_what_is_evaluated_is_the_average(tmp_path, monkeypatch):
  seen = {}
  predictions = Evaluator.predictions

  def look(evaluator):
    seen["weights"] = [w.numpy() for w in evaluator._model.weights]
    return predictions(evaluator)

  monkeypatch.setattr(Evaluator, "predictions", look)
  averaged = run(tmp_path / "averaged", 4, **DECAY)
  plain = run(tmp_path / "plain", 4, optimizer={"learning_rate": 0.1})
  assert averaged["weights_sha256"] == plain["weights_sha256"]
  assert averaged["eval"]["loss"] != plain["eval"]["loss"]
  run(tmp_path / "averaged", 4, **DECAY)  # Finished: evaluates nothing.
  weights, averages = restored(tmp_path / "averaged")
  assert len(averages) == len(weights) == 4
  del seen["weights"]
  from engine.run.experiment import Experiment

  again = Experiment(
    config=tiny_config(
      train={"train_steps": 12, "global_batch_size": 8}, **DECAY
    ),
    task=LineTask(dropout=0.25),
    model_dir=str(tmp_path / "averaged"),
    strategy=strategy_of(4),
  ).run("eval")
  assert {k: again[k] for k in averaged["eval"]} == averaged["eval"]
  for one, other in zip(seen["weights"], averages.values(), strict=True):
    assert np.array_equal(one, other)


def test_a_stopped_run_keeps_its_averages(tmp_path):
  whole = run(tmp_path / "whole", 2, **DECAY)
  for looks in (1, 1, 1):
    with pytest.raises(Preempted):
      run(tmp_path / "cut", 1, notices=NoticeAt(looks), **DECAY)
  cut = run(tmp_path / "cut", 1, **DECAY)
  assert cut["global_step"] == whole["global_step"]
  once = run(tmp_path / "once", 1, **DECAY)
  assert_same_run((tmp_path / "once", once), (tmp_path / "cut", cut))
  for one, other in zip(
    restored(tmp_path / "once"), restored(tmp_path / "cut"), strict=True
  ):
    for name in one:
      assert np.array_equal(one[name], other[name]), name


def test_a_run_does_not_begin_to_average_in_the_middle(tmp_path):
  run(tmp_path, 1)
  with pytest.raises(UserError, match="average_decay: 0.0 -> 0.5"):
    run(tmp_path, 1, **DECAY)


def test_predictions_and_exports_are_those_of_the_average(tmp_path):
  from engine.run.experiment import Experiment
  from tests.support.testing import tiny_task

  config = tiny_config(
    train={"train_steps": 4, "global_batch_size": 8}, **DECAY
  )
  Experiment(
    config=config,
    task=tiny_task(),
    model_dir=str(tmp_path),
    strategy=strategy_of(1),
  ).run("train_and_eval")
  weights, averages = restored(tmp_path)
  kernel = "model/head/kernel/.ATTRIBUTES/VARIABLE_VALUE"
  for best in (False, True):
    ours = restore_run(str(tmp_path), best=best).model.head.kernel.numpy()
    assert not np.array_equal(ours, weights[kernel])
    assert any(np.array_equal(ours, value) for value in averages.values())

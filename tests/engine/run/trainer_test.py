"""One training, whatever the replicas, the layout of rows and interruptions."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from engine.loop.boundary import Boundary
from engine.loop.order import Order
from engine.loop.trainer import Trainer
from engine.run.experiment import Experiment
from tests.support.testing import (
  LineTask,
  acting_at,
  strategy_of,
  tiny_config,
  tiny_task,
)
from tests.support.training import HalfTask, compare_runs, lines, run, weights

SMALL_BATCHES = {"train_steps": 6, "global_batch_size": 8}


@pytest.mark.parametrize(
  ("task", "ways"),
  [
    (LineTask, [(1, {}), (2, {}), (4, {})]),
    (
      functools.partial(tiny_task, max_seq_length=72),
      [
        (1, {"batching": "pack"}),
        (4, {"batching": "pad"}),
      ],
    ),
  ],
  ids=["line", "pairs, however they lie"],
)
def test_1_2_and_4_replicas_train_the_same(tmp_path, task, ways):
  """With dropout: the decisions belong to the place in the batch."""
  results = []
  for i, (replicas, settings) in enumerate(ways):
    results.append(
      run(
        tmp_path / str(i),
        replicas,
        task=task(dropout=0.25, **settings),
        train={"train_steps": 20, "global_batch_size": 32},
        runtime={"steps_per_loop": 1, "log_example_ids": True},
      )
    )
    assert results[i]["replicas"] == replicas
  first, *others = (tmp_path / str(i) for i in range(len(ways)))
  assert len(lines(first, "train")) == 20
  ids = lines(first, None, "example_ids.jsonl")
  assert [row["step"] for row in ids] == list(range(20))
  expected = results[0]["eval"]
  for other, result in zip(others, results[1:], strict=True):
    assert lines(other, None, "example_ids.jsonl") == ids
    for name in ("confusion", "examples_seen"):
      assert result["eval"][name] == expected[name]
    np.testing.assert_allclose(
      result["eval"]["loss"], expected["loss"], rtol=1e-5
    )
    compare_runs(first, other)


def test_micro_batches_equal_the_whole_batch(tmp_path):
  """With dropout too: a row's decisions do not depend on its part."""
  for replicas, parts in ((1, 1), (2, 4)):
    run(
      tmp_path / str(parts),
      replicas,
      tiny_task(max_seq_length=72, dropout=0.25, batching="pack"),
      mode="train",
      train={"train_steps": 20, "accumulate_steps": parts},
      runtime={"steps_per_loop": 1},
    )
  compare_runs(tmp_path / "1", tmp_path / "4")


def test_xla_compiles_each_shape_once_and_computes_the_same(tmp_path):
  results = {}
  for xla in (False, True):
    results[xla] = run(
      tmp_path / str(xla),
      2,
      LineTask(dropout=0.25),
      train=SMALL_BATCHES,
      runtime={"steps_per_loop": 1, "xla": xla},
    )
  assert results[True]["traces"] == results[False]["traces"] == 1
  compare_runs(tmp_path / "False", tmp_path / "True")


@pytest.mark.parametrize("replicas", [1, 4])
def test_an_overflow_in_float16_skips_the_step_and_drops_no_example(
  tmp_path, replicas
):
  half = {**SMALL_BATCHES, "precision": "float16"}
  for name, train in (("half", half), ("whole", SMALL_BATCHES)):
    result = run(
      tmp_path / name,
      replicas,
      HalfTask(dropout=0.25),
      train=train,
      runtime={"steps_per_loop": 3},
    )
    assert result["global_step"] == 6
  points = lines(tmp_path / "half", "train")
  scale = 2.0**15
  for point in points:  # Each skipped step halves the scale.
    scale /= 2.0 ** point["skipped_steps"]
    assert point["loss_scale"] == scale
  assert points[0]["skipped_steps"] >= 4 and points[-1]["skipped_steps"] <= 1
  np.testing.assert_allclose(
    [point["loss"] for point in points],
    [row["loss"] for row in lines(tmp_path / "whole", "train")],
    rtol=2e-3,
  )


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_skipped_step_leaves_each_bit_of_the_weights(tmp_path, replicas):
  class Endless(HalfTask):
    def loss(self, labels, outputs):
      return super().loss(labels, outputs) * float("nan")

  task = Endless()
  experiment = Experiment(
    config=tiny_config(train={**SMALL_BATCHES, "precision": "float16"}),
    task=task,
    model_dir=str(tmp_path),
    strategy=strategy_of(replicas),
  )
  kept = {}

  def initialize(model, seed):
    LineTask.initialize(task, model, seed)
    kept["model"] = model
    kept["weights"] = model.get_weights()

  task.initialize = initialize
  with pytest.raises(FloatingPointError, match="not finite at any loss scale"):
    experiment.run("train")
  for before, after in zip(
    kept["weights"], kept["model"].get_weights(), strict=True
  ):
    np.testing.assert_array_equal(before, after)


def test_the_loss_scale_is_resumed(tmp_path, monkeypatch):
  settings = {
    "task": HalfTask(dropout=0.25),
    "mode": "train",
    "train": {**SMALL_BATCHES, "precision": "float16"},
    "checkpoint": {"checkpoint_interval": 2},
    "runtime": {"steps_per_loop": 2},
  }
  whole = run(tmp_path / "whole", **settings)
  with monkeypatch.context() as patch:
    stop_at(4, patch)
    with pytest.raises(KeyboardInterrupt):
      run(tmp_path / "cut", **settings)
  resumed = run(tmp_path / "cut", **settings)
  assert resumed["weights_sha256"] == whole["weights_sha256"]
  one, other = (
    [row["loss_scale"] for row in lines(tmp_path / name, "train")]
    for name in ("whole", "cut")
  )
  assert one == other
  assert one[-1] < 2.0**15


def stop_at(step, patch):
  """Makes a trainer end as if killed once it has reached a step."""

  def interrupt():
    raise KeyboardInterrupt

  patch.setattr(Boundary, "check", acting_at(step, interrupt))


@pytest.mark.parametrize(("replicas", "stop"), [(1, 2), (1, 3), (4, 3)])
def test_a_resumed_run_is_bitwise_the_uninterrupted_one(
  tmp_path, replicas, stop, monkeypatch
):
  settings = {
    "train": SMALL_BATCHES,
    "checkpoint": {"checkpoint_interval": 2},
    "runtime": {"steps_per_loop": 4, "log_example_ids": True},
  }
  whole = run(tmp_path / "whole", replicas, LineTask(0.25), **settings)
  cut = tmp_path / "cut"
  with monkeypatch.context() as patch:
    stop_at(stop, patch)
    with pytest.raises(KeyboardInterrupt):
      run(cut, replicas, LineTask(0.25), **settings)
  assert not (cut / "result.json").exists()
  resumed = run(cut, replicas, LineTask(0.25), **settings)
  assert resumed["weights_sha256"] == whole["weights_sha256"]
  assert resumed["eval"] == whole["eval"]
  for name in ("metrics.jsonl", "example_ids.jsonl"):
    steps = [row["step"] for row in lines(cut, None, name)]
    assert steps == [
      row["step"] for row in lines(tmp_path / "whole", None, name)
    ]


def test_a_finished_run_reports_its_result_again(tmp_path, monkeypatch):
  first = run(tmp_path, task=LineTask())
  monkeypatch.setattr(Trainer, "train", lambda *_: pytest.fail("trained"))
  assert run(tmp_path, task=LineTask()) == first


def test_traces_equal_the_shapes_that_occurred(tmp_path):
  result = run(
    tmp_path,
    mode="train",
    train={"train_steps": 20},
    runtime={"shapes": "fixed"},
  )
  source = tiny_task().source("train")
  order = Order(
    num_examples=len(source), batch_size=32, num_positions=20 * 32, seed=0
  )
  shapes = {
    source.layout(order.indices(k), batch_size=32, shares=1).shape
    for k in range(20)
  }
  assert result["traces"] == len(shapes)
  assert result["train"]["timed_steps"] == 20 - len(shapes)


def test_evaluates_at_the_end_of_each_epoch_and_of_the_run(tmp_path):
  result = run(
    tmp_path,
    task=LineTask(),
    train={"train_steps": 0, "epochs": 2.5, "global_batch_size": 8},
  )
  steps = [row["step"] for row in lines(tmp_path, "eval")]
  assert steps == [7, 14, 17]  # 53 examples: epochs end at 6.6 and 13.3.
  assert result["global_step"] == 17
  assert result["eval"]["examples_seen"] == 53


def test_a_loss_that_is_no_number_stops_before_a_checkpoint(tmp_path):
  class Broken(LineTask):
    def loss(self, labels, outputs):
      return super().loss(labels, outputs) * float("nan")

  with pytest.raises(FloatingPointError, match="In step 0 the loss is not fin"):
    run(tmp_path, task=Broken(), train={"global_batch_size": 8})
  assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")) is None


def test_bfloat16_multiplies_in_bfloat16_and_keeps_float32(tmp_path):
  tmp_path = tmp_path / "b"
  task = tiny_task(max_seq_length=72)
  result = run(tmp_path, task=task, train={"precision": "bfloat16"})
  assert np.isfinite(result["eval"]["loss"])
  for value in weights(tmp_path).values():
    assert value.dtype in (np.float32, np.int64)
  before = tf_keras.mixed_precision.global_policy().name
  assert before == "float32"
  exact = run(tmp_path.parent / "f", task=task)
  assert result["weights_sha256"] != exact["weights_sha256"]
  np.testing.assert_allclose(
    result["eval"]["loss"], exact["eval"]["loss"], atol=0.02
  )


def test_train_mode_does_not_evaluate(tmp_path):
  result = run(tmp_path, task=LineTask(), mode="train")
  assert result["eval"] is None
  evaluation = run(tmp_path, task=LineTask(), mode="eval")
  assert (evaluation["global_step"], evaluation["examples_seen"]) == (6, 53)


def test_continuous_eval_evaluates_the_last_checkpoint_and_ends(tmp_path):
  run(tmp_path, task=LineTask(), mode="train")
  point = run(tmp_path, task=LineTask(), mode="continuous_eval")
  assert (point["step"], point["examples_seen"]) == (6, 53)

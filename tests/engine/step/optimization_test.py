"""AdamW is Keras' AdamW, faster; LAMB and the schedules are the known ones."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import lamb

from engine.config import OptimizerConfig
from engine.step.averages import Averages
from engine.step.guard import Guard
from engine.step.optimization import (
  AdamW,
  build_optimizer,
  build_schedule,
)


def variables():
  values = np.random.default_rng(0).normal(size=[3, 4]).astype(np.float32)
  return [
    tf.Variable(values, name="dense/kernel"),
    tf.Variable(values[0], name="dense/bias"),
  ]


def train(optimizer, steps=5):
  ours = variables()
  optimizer.build(ours)
  for step in range(steps):
    gradients = [tf.sin(v * (step + 1)) for v in ours]
    optimizer.apply_gradients(zip(gradients, ours, strict=True))
  return [v.numpy() for v in ours]


def test_equals_keras_adamw():
  settings = {"weight_decay": 0.1, "epsilon": 1e-6, "learning_rate": 0.01}
  keras = tf_keras.optimizers.AdamW(**settings, jit_compile=False)
  keras.exclude_from_weight_decay(var_names=["bias"])
  ours = AdamW(rate_factor=lambda name: 1.0, **settings)
  ours.exclude_from_weight_decay(var_names=["bias"])
  for a, b in zip(train(ours), train(keras), strict=True):
    # Keras adds epsilon before, the fused kernel behind the bias correction.
    np.testing.assert_allclose(a, b, atol=2e-6)


def test_lamb_is_that_of_model_garden():
  settings = {"epsilon": 1e-6, "learning_rate": 0.01}
  theirs = lamb.LAMB(
    weight_decay_rate=0.1, exclude_from_weight_decay=["bias"], **settings
  )
  config = OptimizerConfig(
    type="lamb",
    weight_decay=0.1,
    warmup_ratio=0.0,
    schedule="constant",
    learning_rate=0.01,
  )
  ours = build_optimizer(config, train_steps=9, layer_depth=lambda name: 0)
  values = variables()
  for step in range(5):
    gradients = [tf.sin(v * (step + 1)) for v in values]
    theirs.apply_gradients(zip(gradients, values, strict=True))
  for a, b in zip(train(ours), values, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5)
  adam = build_optimizer(
    OptimizerConfig(weight_decay=0.1, warmup_ratio=0.0, learning_rate=0.01),
    train_steps=10**6,
    layer_depth=lambda name: 0,
  )
  assert not np.allclose(train(adam)[0], values[0], atol=1e-3)


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_a_step_that_is_not_taken_changes_no_bit(name):
  config = OptimizerConfig(type=name, average_decay=0.9, warmup_ratio=0.0)
  guard, ours = Guard(skips=False), variables()
  averages = Averages(ours, 0.9)
  averages.begin()
  optimizer = build_optimizer(
    config,
    train_steps=9,
    layer_depth=lambda name: 0,
    guard=guard,
    averages=averages,
  )
  optimizer.build(ours)
  state = lambda: [
    v.numpy().copy() for v in (*ours, *averages.values, *optimizer.variables)
  ]
  step = lambda fill: optimizer.apply_gradients(
    zip([tf.fill(v.shape, fill) for v in ours], ours, strict=True)
  )
  step(0.5)
  before = state()
  guard.taken.assign(False)
  guard.counted.assign(False)
  step(0.0)
  assert all(map(np.array_equal, state(), before))
  guard.taken.assign(True)
  guard.counted.assign(True)
  step(0.5)
  changed = [not np.array_equal(*x) for x in zip(state(), before, strict=True)]
  assert all(changed[:4])


def test_only_matrices_decay():
  config = OptimizerConfig(
    learning_rate=0.1, weight_decay=0.5, warmup_ratio=0.0, clip_norm=0.0
  )
  optimizer = build_optimizer(config, train_steps=10, layer_depth=lambda _: 0)
  ours = [
    tf.Variable([[1.0]], name="x/kernel"),
    tf.Variable([1.0], name="x/bias"),
    tf.Variable([1.0], name="x/output_layer_norm/gamma"),
  ]
  optimizer.build(ours)
  zeros = [tf.zeros_like(v) for v in ours]
  optimizer.apply_gradients(zip(zeros, ours, strict=True))
  assert [float(tf.squeeze(v)) for v in ours] == pytest.approx([0.95, 1, 1])


def test_each_layer_has_its_rate():
  config = OptimizerConfig(
    learning_rate=0.1, weight_decay=0.0, warmup_ratio=0.0, layer_decay=0.5
  )
  depth = {"a/kernel:0": 0, "b/kernel:0": 2}
  optimizer = build_optimizer(
    config, train_steps=10**6, layer_depth=depth.__getitem__
  )
  ours = [tf.Variable([[0.0]], name=name[:-2]) for name in depth]
  optimizer.build(ours)
  ones = [tf.ones_like(v) for v in ours]
  optimizer.apply_gradients(zip(ones, ours, strict=True))
  steps = [-float(tf.squeeze(v)) for v in ours]
  assert steps == pytest.approx([0.1, 0.025], rel=1e-4)


def test_the_schedule_warms_up_and_decays_linearly():
  config = OptimizerConfig(learning_rate=1.0, warmup_ratio=0.1)
  schedule = build_schedule(config, train_steps=100)
  rates = [float(schedule(step)) for step in (0, 5, 10, 55, 100)]
  assert rates == pytest.approx([0.0, 0.45, 0.9, 0.45, 0.0], abs=1e-6)
  flat = build_schedule(
    OptimizerConfig(learning_rate=1.0, warmup_ratio=0.0), train_steps=100
  )
  assert float(flat(0)) == 1.0


@pytest.mark.parametrize(
  "settings, expected",
  [
    ({"schedule": "linear", "decay_power": 3.0}, [0, 0.455, 0.91, 0.55, 0.1]),
    ({"schedule": "cosine"}, [0, 0.4889, 0.9780, 0.55, 0.1]),
    ({"schedule": "constant"}, [0, 0.5, 1, 1, 1]),
    ({"decay_power": 2.0}, [0, 0.4145, 0.829, 0.325, 0.1]),
    ({"schedule": "constant", "warmup_steps": 50}, [0, 0.1, 0.2, 1, 1]),
    ({"decay_start": "warmup"}, [0, 0.5, 1, 0.6, 0.1]),
    ({"decay_start": "warmup", "schedule": "cosine"}, [0, 0.5, 1, 0.6281, 0.1]),
  ],
)
def test_the_rate_decays_as_the_schedule_says(settings, expected):
  config = OptimizerConfig(
    **{"learning_rate": 1.0, "end_learning_rate": 0.1, **settings}
  )
  schedule = build_schedule(config, train_steps=100)
  rates = [float(schedule(step)) for step in (0, 5, 10, 50, 100)]
  assert rates == pytest.approx(expected, abs=1e-3)

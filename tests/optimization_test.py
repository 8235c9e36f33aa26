"""AdamW is Keras' AdamW, faster; the schedule is the tutorial's."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from engine.config import OptimizerConfig
from engine.optimization import (
  AdamW,
  build_optimizer,
  build_schedule,
  clip_by_global_norm,
  squares_of,
)
from engine.step import merged


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


def test_clipping_scales_all_gradients_alike():
  gradients = [tf.constant([3.0]), tf.constant([[4.0]])]

  def clip(limit, taken=True):
    return clip_by_global_norm(
      gradients,
      limit,
      squares=squares_of(gradients),
      taken=tf.constant(taken),
    )

  clipped, norm = clip(1.0)
  assert float(norm) == pytest.approx(5)
  assert [float(tf.squeeze(g)) for g in clipped] == pytest.approx([0.6, 0.8])
  for limit in (10.0, 0.0):
    same, _ = clip(limit)
    assert [float(tf.squeeze(g)) for g in same] == [3, 4]
  gradients[0] = tf.fill(gradients[0].shape, float("nan"))
  nothing, norm = clip(1.0, taken=False)
  assert [float(tf.squeeze(g)) for g in nothing] == [0, 0]
  assert np.isnan(float(norm))


def test_merged_rows_are_the_table_and_have_its_squares():
  indices = tf.constant([4, 0, 4, 2, 0, 4])
  values = tf.random.stateless_normal([6, 3], [0, 1])
  table = tf.math.unsorted_segment_sum(values, indices, 7)
  rows = merged(values, indices, tf.TensorShape([7, 3]))
  assert rows.values.shape == values.shape
  assert np.array_equal(tf.convert_to_tensor(rows), table)
  assert np.isclose(squares_of([rows])[0], squares_of([table])[0], rtol=1e-6)
  clipped, norm = clip_by_global_norm(
    [rows], 0.1, squares=squares_of([rows]), taken=tf.constant(True)
  )
  whole, same = clip_by_global_norm(
    [table], 0.1, squares=squares_of([table]), taken=tf.constant(True)
  )
  assert np.isclose(norm, same, rtol=1e-6)
  np.testing.assert_allclose(
    tf.convert_to_tensor(clipped[0]), whole[0], rtol=1e-6
  )

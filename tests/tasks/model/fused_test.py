"""What is written out by hand is what TensorFlow derives."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.model.fused import bias_activation, shares

PLAIN = {
  "gelu": tf.nn.gelu,
  "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
  "relu": tf.nn.relu,
}


@pytest.mark.parametrize("activation", PLAIN)
def test_each_activation_has_its_own_gradient(activation):
  x = tf.cast(tf.linspace(-6.0, 6.0, 97), tf.float32)[:, None]
  bias = tf.constant([0.25])
  upstream = tf.cos(x)
  results = []
  for function in (
    lambda: bias_activation(x, bias, activation),
    lambda: PLAIN[activation](x + bias),
  ):
    with tf.GradientTape() as tape:
      tape.watch([x, bias])
      y = function()
      target = tf.reduce_sum(y * upstream)
    results.append([y, *tape.gradient(target, [x, bias])])
  for ours, theirs in zip(*results, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 2, 5, 5), (3, 1, 5, 5), (1, 1, 5, 5)])
def test_a_bias_of_scores_is_added_and_gets_its_gradient(shape):
  scores, upstream = (
    tf.random.stateless_normal([3, 2, 5, 5], [0, i]) for i in (0, 1)
  )
  bias = tf.random.stateless_normal(shape, [0, 2])
  segments = tf.constant([[1, 1, 1, 2, 2]] * 3)
  together = segments[:, None, :, None] == segments[:, None, None, :]
  results = []
  for function in (
    lambda: shares(scores, segments, segments, None, rate=0.0, bias=bias),
    lambda: tf.nn.softmax(tf.where(together, scores + bias, -1e9), axis=2),
  ):
    with tf.GradientTape() as tape:
      tape.watch([scores, bias])
      target = tf.reduce_sum((y := function()) * upstream)
    results.append([y, *tape.gradient(target, [scores, bias])])
  for ours, theirs in zip(*results, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)

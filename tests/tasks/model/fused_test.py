"""What is written out by hand is what TensorFlow derives."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.model.fused import bias_gelu


@pytest.mark.parametrize("exact", [True, False])
def test_both_gelus_have_their_own_gradients(exact):
  x = tf.cast(tf.linspace(-6.0, 6.0, 97), tf.float32)[:, None]
  bias = tf.constant([0.25])
  upstream = tf.cos(x)
  results = []
  for function in (
    lambda: bias_gelu(x, bias, exact=exact),
    lambda: tf.nn.gelu(x + bias, approximate=not exact),
  ):
    with tf.GradientTape() as tape:
      tape.watch([x, bias])
      y = function()
      target = tf.reduce_sum(y * upstream)
    results.append([y, *tape.gradient(target, [x, bias])])
  for ours, theirs in zip(*results, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)

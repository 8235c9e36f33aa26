"""Rotary positions (Su et al., arXiv 2104.09864): queries and keys are turned.

Their products depend on differences of positions alone, so the places of a row
serve as positions, however sequences share it.
"""

import numpy as np
import tensorflow as tf

from engine.fusion import fused


def turned(x: tf.Tensor, places: tf.Tensor, theta: float) -> tf.Tensor:
  """Turns pairs of elements, those of the two halves, by the angle of a place.

  Args:
    x: [rows, heads, n, size of a head], which is even.
    places: int32 [rows or 1, n].
    theta: base of the angles: 10,000 or more.
  """
  half = x.shape[-1] // 2
  steps = (theta ** -(np.arange(half) / half)).astype(np.float32)
  angles = tf.cast(places, tf.float32)[:, None, :, None] * steps
  cos, sin = tf.cos(angles), tf.sin(angles)

  @tf.custom_gradient
  def turn(x):
    return _turned(x, cos, sin), lambda upstream: _turned(upstream, cos, -sin)

  return turn(x)


@fused
def _turned(x, cos, sin):
  one, two = tf.split(tf.cast(x, tf.float32), 2, axis=-1)
  both = tf.concat([one * cos - two * sin, two * cos + one * sin], axis=-1)
  return tf.cast(both, x.dtype)

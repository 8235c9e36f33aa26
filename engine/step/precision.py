"""In which type a model multiplies. Its variables are float32 always."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras

_POLICIES = {
  "float32": "float32",
  "bfloat16": "mixed_bfloat16",
  "float16": "mixed_float16",
}
_FIRST_SCALE = 2.0**15
_LARGEST_SCALE = 2.0**100  # Far from the end of float32.
_STEPS_TO_GROW = 2000


@contextlib.contextmanager
def precision_scope(precision: str) -> Iterator[None]:
  """Models that are built in this scope compute in `precision`.

  Losses, metrics, softmax and the statistics of layer norms ask for float32
  themselves; the optimizer sees float32 gradients of float32 variables.
  """
  before = tf_keras.mixed_precision.global_policy()
  tf_keras.mixed_precision.set_global_policy(_POLICIES[precision])
  try:
    yield
  finally:
    tf_keras.mixed_precision.set_global_policy(before)


class LossScale(tf.Module):
  """Keeps float16 gradients in range (Micikevicius et al., arXiv 1710.03740).

  The loss is multiplied by `scale`. Where a gradient overflows the step is not
  taken, the scale is halved, and the same batch is tried again: no example is
  dropped. After 2000 steps without overflow the scale doubles.
  """

  def __init__(self):
    """Creates the variables; call it in the scope of the strategy."""
    super().__init__(name="loss_scale")

    def variable(value, name, dtype):
      return tf.Variable(
        value,
        trainable=False,
        name=name,
        dtype=dtype,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
      )

    self.scale = variable(_FIRST_SCALE, "scale", tf.float32)
    # Of int32 it would be the host's, and a GPU would wait for it.
    self.good_steps = variable(0, "good_steps", tf.int64)

  def update(self, finite: tf.Tensor, turn: tf.Tensor | bool = True) -> None:
    """Adapts the scale to a step; all replicas say the same.

    Args:
      finite: bool scalar, whether the gradient of the global batch is finite.
      turn: bool scalar, whether it was the turn of the step; if not, the scale
        stays.
    """
    good = self.good_steps + 1
    good = tf.where(finite, good, tf.zeros_like(good))
    grows = good >= _STEPS_TO_GROW
    after = tf.where(
      grows, tf.minimum(self.scale * 2.0, _LARGEST_SCALE), self.scale
    )
    after = tf.where(finite, after, tf.maximum(self.scale / 2.0, 1.0))
    good = tf.where(grows, tf.zeros_like(good), good)
    self.scale.assign(tf.where(turn, after, self.scale))
    self.good_steps.assign(tf.where(turn, good, self.good_steps))

"""How large gradients are, and their clipping to a global norm."""

from collections.abc import Sequence

import tensorflow as tf


def squares_of(gradients: Sequence[tf.Tensor | tf.IndexedSlices]) -> tf.Tensor:
  """Returns half the sum of squares of each gradient: float32 [gradients].

  Rows of an `IndexedSlices` must be merged: at most one of an index is not 0.
  """
  return tf.stack([tf.nn.l2_loss(getattr(g, "values", g)) for g in gradients])


def clip_by_global_norm(
  gradients: Sequence[tf.Tensor | tf.IndexedSlices],
  limit: float,
  *,
  squares: tf.Tensor,
  taken: tf.Tensor,
  scale: tf.Tensor | None = None,
) -> tuple[list[tf.Tensor | tf.IndexedSlices], tf.Tensor]:
  """Scales `gradients` down to global norm `limit` (0: no limit).

  Args:
    gradients: of the loss, or of the loss times `scale`.
    limit: largest global norm.
    squares: what `squares_of` says of the gradients.
    taken: bool scalar; where it is false, all gradients become 0.
    scale: what the loss was multiplied by.

  Returns:
    The gradients and their global norm before clipping, both of the loss.
  """
  norm = tf.sqrt(2.0 * tf.reduce_sum(squares))
  factor = tf.constant(1.0)
  if scale is not None:
    norm /= scale
    factor /= scale
  if limit:
    factor *= limit / tf.maximum(norm, limit)
  # Nothing that is not finite survives a factor of 0 here.
  factor = tf.where(taken, factor, 0.0)

  def scaled(g):
    if isinstance(g, tf.IndexedSlices):
      values = tf.math.multiply_no_nan(g.values, factor)
      return tf.IndexedSlices(values, g.indices, g.dense_shape)
    return tf.math.multiply_no_nan(g, factor)

  return [scaled(gradient) for gradient in gradients], norm

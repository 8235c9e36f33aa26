"""A block with its norms before its parts, and a gated feed-forward.

As ModernBERT has it (Warner et al., arXiv 2412.13663): rotary positions, GeGLU
(Shazeer, arXiv 2002.05202), and biases or none.
"""

import tensorflow as tf

from engine.fusion import fused, plain
from engine.randomness import Stream, drop, dropped_bytes
from tasks.model.block import BlockWeights, attend, attend_from_firsts
from tasks.model.fused import activated, add_norm, column_sums, slope
from tasks.model.stream import Tokens


@tf.function
@plain
def run_pre_norm(
  x: tf.Tensor,
  weights: BlockWeights,
  tokens: Tokens,
  key: tf.Tensor | None,
  *,
  heads: int,
  rate: float,
  epsilon: float,
  activation: str,
  theta: float,
  bias: tf.Tensor | None,
  firsts_only: bool = False,
) -> tf.Tensor:
  """Self-attention and feed-forward, each behind a norm.

  Arguments and result are those of `run_block`, and `theta` of the rotary
  positions (`turned`). Without `attention_norm` there is none before the
  attention; the intermediate product has both what is activated and its gate.
  """
  random = Stream(key) if key is not None and dropped_bytes(rate) else None
  unit = norm(x, weights.attention_norm, epsilon, x.dtype)
  look = attend_from_firsts if firsts_only else attend
  mixed = look(unit, weights, tokens, random, heads, rate, bias, theta)
  names = tokens.names
  if firsts_only:
    x, names = (tf.gather(values, tokens.firsts) for values in (x, names))

  def add(x, inner, product):
    bits = random and random.row_bits(x.shape[-1], names=names)
    return _add(x, tf.matmul(inner, product[0]), product[1], bits, rate)

  x = add(x, mixed, weights.attention_output)
  unit = norm(x, weights.output_norm, epsilon, x.dtype)
  kernel, shift = weights.intermediate
  inner = gated(tf.matmul(unit, kernel), shift, activation)
  return add(x, inner, weights.output)


def norm(
  x: tf.Tensor,
  weights: tuple[tf.Tensor, tf.Tensor] | None,
  epsilon: float,
  dtype: tf.DType,
) -> tf.Tensor:
  """Computes the norm of [n, hidden]; without weights, `x`."""
  if weights is None:
    return x
  return add_norm(
    x, None, None, *weights, None, rate=0.0, epsilon=epsilon, dtype=dtype
  )


def _add(residual, x, bias, bits, rate):
  """Residual + dropout(x + bias), [tokens, hidden]."""

  @tf.custom_gradient
  def added(residual, x, bias):
    def gradient(upstream):
      d_x = upstream if bits is None else drop(upstream, bits, rate)
      return upstream, d_x, column_sums(d_x)

    return _added(residual, x, bias, bits, rate), gradient

  return added(residual, x, bias)


@fused
def _added(residual, x, bias, bits, rate):
  total = tf.cast(x, tf.float32) + bias
  if bits is not None:
    total = drop(total, bits, rate)
  return tf.cast(total + tf.cast(residual, tf.float32), x.dtype)


def gated(x: tf.Tensor, bias: tf.Tensor, activation: str) -> tf.Tensor:
  """Computes activation(a) * b of x + bias = [a, b].

  Args:
    x: [tokens, 2 * size], a product.
    bias: float32 [2 * size].
    activation: as `bias_activation` takes it.
  """

  @tf.custom_gradient
  def through(x, bias):
    def gradient(upstream):
      d_x = _gated_gradient(upstream, x, bias, activation)
      return d_x, column_sums(d_x)

    return _gated(x, bias, activation), gradient

  return through(x, bias)


@fused
def _gated(x, bias, activation):
  inner, gate = tf.split(tf.cast(x, tf.float32) + bias, 2, axis=-1)
  return tf.cast(activated(inner, activation) * gate, x.dtype)


@fused
def _gated_gradient(upstream, x, bias, activation):
  inner, gate = tf.split(tf.cast(x, tf.float32) + bias, 2, axis=-1)
  upstream = tf.cast(upstream, tf.float32)
  d_inner = upstream * gate * slope(inner, activation)
  d_gate = upstream * activated(inner, activation)
  return tf.cast(tf.concat([d_inner, d_gate], -1), x.dtype)

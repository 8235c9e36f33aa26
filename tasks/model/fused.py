"""The element-wise parts of a BERT block, forward and backward.

Each is one or two passes over its arrays; products lie between them. Gradients
are written out: what is cheap is computed again instead of being kept. All
arithmetic is float32, whatever the type of the arrays.
"""

import tensorflow as tf

from engine.fusion import fused
from engine.randomness import keep_factor

_SQRT_HALF = 0.7071067811865476
_DENSITY = 0.3989422804014327  # 1 / sqrt(2 pi)
_ROOT = 0.7978845608028654  # sqrt(2 / pi)
_CUBE = 0.044715
_FAR = -1e9  # What a score of another pair becomes.


def add_norm(
  x: tf.Tensor,
  bias: tf.Tensor | None,
  residual: tf.Tensor | None,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  bits: tf.Tensor | None,
  *,
  rate: float,
  epsilon: float,
  dtype: tf.DType,
) -> tf.Tensor:
  """Computes norm(dropout(x + bias) + residual).

  Args:
    x: [tokens, hidden], a product.
    bias: float32 [hidden], or None.
    residual: [tokens, hidden], or None.
    gamma: float32 [hidden], scale of the layer norm (arXiv 1607.06450).
    beta: float32 [hidden], its shift.
    bits: of dropout (`Stream.row_bits`), or None.
    rate: of dropout.
    epsilon: added to the variance.
    dtype: of the result.
  """
  given = [value for value in (x, bias, residual) if value is not None]

  @tf.custom_gradient
  def normed(gamma, beta, *given):
    parts = iter(given)
    x = next(parts)
    shift = next(parts) if bias is not None else None
    rest = next(parts) if residual is not None else None
    out, unit, scale = _add_norm(
      x, shift, rest, gamma, beta, bits, rate, epsilon, dtype
    )

    def gradient(upstream):
      d_total, d_x, d_gamma = _add_norm_gradient(
        upstream, unit, scale, gamma, bits, rate
      )
      grads = [tf.cast(d_x, x.dtype)]
      if bias is not None:
        grads.append(column_sums(d_x))
      if residual is not None:
        grads.append(tf.cast(d_total, residual.dtype))
      return column_sums(d_gamma), column_sums(upstream), *grads

    return out, gradient

  return normed(gamma, beta, *given)


@fused
def _add_norm(x, bias, residual, gamma, beta, bits, rate, epsilon, dtype):
  total = tf.cast(x, tf.float32)
  if bias is not None:
    total += bias
  total = _dropped(total, bits, rate)
  if residual is not None:
    total += tf.cast(residual, tf.float32)
  centred = total - tf.reduce_mean(total, -1, keepdims=True)
  variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
  scale = tf.math.rsqrt(variance + epsilon)
  unit = centred * scale
  return tf.cast(unit * gamma + beta, dtype), tf.cast(unit, dtype), scale


@fused
def _add_norm_gradient(upstream, unit, scale, gamma, bits, rate):
  dtype = upstream.dtype
  upstream, unit = tf.cast(upstream, tf.float32), tf.cast(unit, tf.float32)
  inner = upstream * gamma
  mean = tf.reduce_mean(inner, -1, keepdims=True)
  along = tf.reduce_mean(inner * unit, -1, keepdims=True)
  d_total = scale * (inner - mean - unit * along)
  d_x = _dropped(d_total, bits, rate)
  return tuple(tf.cast(x, dtype) for x in (d_total, d_x, upstream * unit))


def bias_activation(
  x: tf.Tensor, bias: tf.Tensor, activation: str
) -> tf.Tensor:
  """Computes the activation of x + bias.

  Args:
    x: [tokens, size], a product.
    bias: float32 [size].
    activation: "gelu" (arXiv 1606.08415) by erf, "gelu_new" by tanh, which
      differs by less than 5e-4, or "relu".
  """

  @tf.custom_gradient
  def activated(x, bias):
    def gradient(upstream):
      d_x = _activation_gradient(upstream, x, bias, activation)
      return d_x, column_sums(d_x)

    return _activation(x, bias, activation), gradient

  return activated(x, bias)


@fused
def _activation(x, bias, activation):
  return tf.cast(activated(tf.cast(x, tf.float32) + bias, activation), x.dtype)


@fused
def _activation_gradient(upstream, x, bias, activation):
  total = tf.cast(x, tf.float32) + bias
  upstream = tf.cast(upstream, tf.float32)
  return tf.cast(upstream * slope(total, activation), x.dtype)


def activated(x: tf.Tensor, activation: str) -> tf.Tensor:
  """Computes an activation of `bias_activation`, float32."""
  if activation == "relu":
    return tf.nn.relu(x)
  if activation == "gelu":
    return x * (0.5 + 0.5 * tf.math.erf(x * _SQRT_HALF))
  return x * (0.5 + 0.5 * _tanh_of_gelu(x))


def slope(x: tf.Tensor, activation: str) -> tf.Tensor:
  """Computes the derivative of an activation of `bias_activation`, float32."""
  if activation == "relu":
    return tf.cast(x > 0, tf.float32)
  if activation == "gelu":
    half = 0.5 + 0.5 * tf.math.erf(x * _SQRT_HALF)
    return half + x * tf.exp(-0.5 * tf.square(x)) * _DENSITY
  tanh = _tanh_of_gelu(x)
  inner = _ROOT + (3 * _ROOT * _CUBE) * tf.square(x)
  return 0.5 + 0.5 * tanh + x * (0.5 - 0.5 * tf.square(tanh)) * inner


def _tanh_of_gelu(x):
  return tf.tanh(x * (_ROOT + (_ROOT * _CUBE) * tf.square(x)))


def split_heads(
  x: tf.Tensor, bias: tf.Tensor, *, parts: int, rows: int, heads: int
) -> tuple[tf.Tensor, ...]:
  """Adds biases to products, and splits them: queries, keys and values.

  Args:
    x: [rows * width, parts * hidden].
    bias: float32 [parts * hidden].
    parts: products that lie side by side.
    rows: that `x` holds.
    heads: of the attention.

  Returns:
    An array [rows, heads, width, hidden / heads] for each part.
  """

  @tf.custom_gradient
  def split(x, bias):
    def gradient(*upstream):
      d_parts = [tf.transpose(part, [0, 2, 1, 3]) for part in upstream]
      d_x = tf.reshape(tf.stack(d_parts, 2), x.shape)
      return d_x, column_sums(d_x)

    return _split_heads(x, bias, parts, rows, heads), gradient

  return split(x, bias)


@fused
def _split_heads(x, bias, parts, rows, heads):
  total = tf.cast(tf.cast(x, tf.float32) + bias, x.dtype)
  size = x.shape[-1] // parts // heads
  total = tf.reshape(total, [rows, -1, parts, heads, size])
  return tuple(tf.unstack(tf.transpose(total, [2, 0, 3, 1, 4])))


def shares(
  scores: tf.Tensor,
  key_segments: tf.Tensor,
  query_segments: tf.Tensor,
  bits: tf.Tensor | None,
  *,
  rate: float,
  bias: tf.Tensor | None = None,
) -> tf.Tensor:
  """Softmax over the keys of a query's sequence, then dropout.

  Args:
    scores: [rows, heads, keys, queries]. Keys come first, so that a sum over
      them adds rows of memory, which a vector unit does at once.
    key_segments: int32 [rows, keys], the sequence that each belongs to.
    query_segments: int32 [rows, queries].
    bits: uint64 [rows, heads / 8 rounded up, keys, queries], or None.
    rate: of dropout.
    bias: float32 [rows or 1, heads or 1, keys, queries], added to the scores;
      or None.
  """
  added = [] if bias is None else [bias]

  @tf.custom_gradient
  def shared(scores, *added):
    whole = _softmax(scores, key_segments, query_segments, *added)
    # On its own: with the softmax in one cluster it would compute that twice.
    kept = whole if bits is None else _drop_shares(whole, bits, rate)

    def gradient(upstream):
      d_scores = _shares_gradient(upstream, whole, bits, rate)
      return d_scores, *(_summed_to(d_scores, x.shape) for x in added)

    return kept, gradient

  return shared(scores, *added)


@fused
def _softmax(scores, key_segments, query_segments, bias=None):
  together = key_segments[:, None, :, None] == query_segments[:, None, None, :]
  scores, dtype = tf.cast(scores, tf.float32), scores.dtype
  if bias is not None:
    scores += bias
  masked = tf.where(together, scores, _FAR)
  powers = tf.exp(masked - tf.reduce_max(masked, -2, keepdims=True))
  total = tf.reduce_sum(powers, -2, keepdims=True)
  return tf.cast(powers / total, dtype)


@fused
def _drop_shares(whole, bits, rate):
  return tf.cast(_dropped(tf.cast(whole, tf.float32), bits, rate), whole.dtype)


@fused
def _shares_gradient(upstream, whole, bits, rate):
  dtype = whole.dtype
  whole = tf.cast(whole, tf.float32)
  upstream = _dropped(tf.cast(upstream, tf.float32), bits, rate)
  along = tf.reduce_sum(upstream * whole, -2, keepdims=True)
  return tf.cast(whole * (upstream - along), dtype)


def _summed_to(x, shape):
  """Sums over the axes that have been broadcast, in float32."""
  axes = [i for i, size in enumerate(shape) if size == 1 < x.shape[i]]
  return tf.reduce_sum(tf.cast(x, tf.float32), axes, keepdims=True)


def _dropped(x, bits, rate):
  """Dropout of [rows, n, ...] by bits [rows, n / 8 rounded up, ...]."""
  return x if bits is None else x * keep_factor(bits, rate)[:, : x.shape[1]]


def column_sums(x: tf.Tensor) -> tf.Tensor:
  """Sums [n, size] over n: float32 [size]; a product is the fastest way."""
  if x.dtype == tf.float16:  # Whose range may be too short for a sum.
    x = tf.cast(x, tf.float32)
  sums = tf.matmul(tf.ones([1, x.shape[0]], x.dtype), x)
  return tf.cast(sums[0], tf.float32)


def take(x: tf.Tensor, indices: tf.Tensor, back: tf.Tensor) -> tf.Tensor:
  """Takes rows of `x`; the gradient takes them back.

  Both directions read rows where a scatter would add them. That is right where
  each row of the result that `back` does not name has a gradient of 0, and
  `back` names such a row for each row of `x` that is not taken.

  Args:
    x: [n, ...].
    indices: int32 [m], the rows that are taken.
    back: int32 [n], where each row of `x` went.
  """

  @tf.custom_gradient
  def taken(x):
    return tf.gather(x, indices), lambda upstream: tf.gather(upstream, back)

  return taken(x)

"""One block of BERT, as a function of its weights (arXiv 1810.04805).

All blocks of an encoder run one traced function, so the time of tracing does
not grow with their number.
"""

from typing import NamedTuple

import tensorflow as tf

from engine.fusion import plain
from engine.randomness import BYTES, Stream, dropped_bytes
from tasks.model.fused import (
  add_norm,
  bias_activation,
  shares,
  split_heads,
  take,
)
from tasks.model.rotary import turned
from tasks.model.stream import Tokens


class BlockWeights(NamedTuple):
  """Weights of a block: kernels in the type of products, the rest float32.

  Attributes:
    query, key, value, attention_output, intermediate, output: (kernel
      [size, size], bias [size]) of each product.
    attention_norm, output_norm: (scale, shift), each [hidden]; the first may
      be missing where norms stand before (`run_pre_norm`).
  """

  query: tuple[tf.Tensor, tf.Tensor]
  key: tuple[tf.Tensor, tf.Tensor]
  value: tuple[tf.Tensor, tf.Tensor]
  attention_output: tuple[tf.Tensor, tf.Tensor]
  attention_norm: tuple[tf.Tensor, tf.Tensor] | None
  intermediate: tuple[tf.Tensor, tf.Tensor]
  output: tuple[tf.Tensor, tf.Tensor]
  output_norm: tuple[tf.Tensor, tf.Tensor]


@tf.function
@plain
def run_block(
  x: tf.Tensor,
  weights: BlockWeights,
  tokens: Tokens,
  key: tf.Tensor | None,
  *,
  heads: int,
  rate: float,
  epsilon: float,
  activation: str = "gelu",
  firsts_only: bool = False,
  bias: tf.Tensor | None = None,
) -> tf.Tensor:
  """Self-attention and feed-forward, each with residual and norm behind.

  Args:
    x: [tokens, hidden].
    weights: of the block.
    tokens: where they are.
    key: of the random bits for dropout (`Stream`), or None.
    heads: of the attention.
    rate: of dropout.
    epsilon: of the norms.
    activation: of the feed-forward (see `bias_activation`).
    firsts_only: compute the first token of each sequence, and nothing that
      only the others need.
    bias: float32 [heads or 1, width, width], what distance adds to the score
      of each key (first) of each query; or None.

  Returns:
    [tokens, hidden], or [sequences, hidden]: the same values as among those
    of all tokens.
  """
  random = Stream(key) if key is not None and dropped_bytes(rate) else None
  look = attend_from_firsts if firsts_only else attend
  mixed = look(x, weights, tokens, random, heads, rate, bias)
  names = tokens.names
  if firsts_only:
    x, names = (tf.gather(values, tokens.firsts) for values in (x, names))

  def finish(product, norm, x, residual):
    return add_norm(
      tf.matmul(x, product[0]),
      product[1],
      residual,
      *norm,
      random and random.row_bits(residual.shape[-1], names=names),
      rate=rate,
      epsilon=epsilon,
      dtype=x.dtype,
    )

  x = finish(weights.attention_output, weights.attention_norm, mixed, x)
  kernel, shift = weights.intermediate
  inner = bias_activation(tf.matmul(x, kernel), shift, activation)
  return finish(weights.output, weights.output_norm, inner, x)


def attend(x, weights, tokens, random, heads, rate, bias, theta=None):
  """Attention of all tokens: [tokens, hidden].

  Args:
    x: [tokens, hidden].
    weights: with `query`, `key` and `value`.
    tokens: where they are.
    random: bits for dropout, or None.
    heads: of the attention.
    rate: of dropout.
    bias: as `run_block` takes it.
    theta: base of the angles that turn queries and keys; or None.
  """
  rows, width = tokens.rows.shape
  query = _scaled(weights.query, x.shape[-1] // heads)
  query, key, value = _in_rows(
    x, (query, weights.key, weights.value), tokens, heads
  )
  if theta:
    places = tf.range(width)[None]
    query, key = (turned(x, places, theta) for x in (query, key))
  names = tf.reshape(tf.gather(tokens.names, _flat(tokens.rows)), [rows, width])
  kept = shares(
    tf.matmul(key, query, transpose_b=True),
    tokens.segments,
    tokens.segments,
    _bits(random, names, names, heads),
    rate=rate,
    bias=None if bias is None else bias[None],
  )
  mixed = tf.transpose(tf.matmul(kept, value, transpose_a=True), [0, 2, 1, 3])
  mixed = tf.reshape(mixed, [rows * width, -1])
  return take(mixed, tokens.slots, _flat(tokens.rows))


def attend_from_firsts(
  x, weights, tokens, random, heads, rate, bias, theta=None
):
  """Attention of the first tokens to theirs: [sequences, hidden].

  See `attend`.
  """
  width = tokens.rows.shape[1]
  key, value = _in_rows(x, (weights.key, weights.value), tokens, heads)
  slots = tf.gather(tokens.slots, tokens.firsts)
  row = slots // width
  kernel, shift = _scaled(weights.query, x.shape[-1] // heads)
  query = tf.matmul(tf.gather(x, tokens.firsts), kernel)
  query += tf.cast(shift, query.dtype)
  query = tf.reshape(query, [row.shape[0], heads, 1, -1])
  if theta:
    key = turned(key, tf.range(width)[None], theta)
    query = turned(query, (slots % width)[:, None], theta)
  names = tf.gather(tokens.names, tf.gather(tokens.rows, row))
  kept = shares(
    tf.matmul(tf.gather(key, row), query, transpose_b=True),
    tf.gather(tokens.segments, row),
    tf.gather(_flat(tokens.segments), slots)[:, None],
    _bits(
      random, names, tf.gather(tokens.names, tokens.firsts)[:, None], heads
    ),
    rate=rate,
    bias=None if bias is None else _of_queries(bias, slots % width),
  )
  mixed = tf.matmul(kept, tf.gather(value, row), transpose_a=True)
  return tf.reshape(mixed, [row.shape[0], -1])


def _of_queries(bias, places):
  """The bias of the keys of some queries: [queries, heads or 1, width, 1]."""
  chosen = tf.one_hot(places, bias.shape[2])
  return tf.tensordot(chosen, bias, [[1], [2]])[..., None]


def _scaled(product, size):
  """Attention divides its scores by the root of the size of a head."""
  kernel, bias = product
  return kernel * tf.cast(size**-0.5, kernel.dtype), bias * size**-0.5


def _in_rows(x, products, tokens, heads):
  """Products of `x`, each [rows, heads, width, size of a head]."""
  kernels, biases = zip(*products, strict=True)
  product = tf.matmul(x, tf.concat(kernels, 1))
  product = take(product, _flat(tokens.rows), tokens.slots)
  return split_heads(
    product,
    tf.concat(biases, 0),
    parts=len(products),
    rows=tokens.rows.shape[0],
    heads=heads,
  )


def _bits(random, keys, queries, heads):
  """Bits for the share of each key of each query; their names: [rows, n]."""
  if random is None:
    return None
  counts = -(-heads // BYTES)
  bits = [
    random.bits(keys[:, :, None], queries[:, None, :]) for _ in range(counts)
  ]
  return tf.stack(bits, 1)


def _flat(x):
  return tf.reshape(x, [-1])

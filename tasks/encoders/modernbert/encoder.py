"""ModernBERT's encoder (arXiv 2412.13663) for streams of tokens."""

from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from engine.randomness import Stream
from tasks.encoders.modernbert.config import ModernBertShape
from tasks.model.block import BlockWeights
from tasks.model.distances import window
from tasks.model.encoder import StreamEncoder
from tasks.model.fused import bias_activation
from tasks.model.layers import LayerNorm, Linear, build_part
from tasks.model.pre_norm import norm, run_pre_norm
from tasks.model.stream import Tokens, joined


class ModernBertBlock(tf_keras.layers.Layer):
  """Holds the weights of a block; `run_pre_norm` computes it."""

  def __init__(self, shape: ModernBertShape, *, first: bool, **kwargs):
    """Initializes the layer.

    Args:
      shape: of the encoder.
      first: whether no norm stands before its attention.
      **kwargs: of the Keras layer.
    """
    super().__init__(**kwargs)
    attention = "attention" in shape.biased
    self._first, self._inner = first, shape.inner
    if not first:
      self.attention_norm = LayerNorm(
        shifts=shape.shifts, name="attention_layer_norm"
      )
    self.qkv, self.attention_output = (
      Linear(size, use_bias=attention, name=name)
      for name, size in (
        ("query_key_value", 3 * shape.hidden),
        ("attention_output", shape.hidden),
      )
    )
    self.output_norm = LayerNorm(shifts=shape.shifts, name="output_layer_norm")
    self.gated, self.output_ = (
      Linear(size, use_bias="mlp" in shape.biased, name=name)
      for name, size in (
        ("intermediate", 2 * shape.inner),
        ("output", shape.hidden),
      )
    )

  def build(self, input_shape):
    """Creates the variables of all parts."""
    if not self._first:
      build_part(self.attention_norm, input_shape)
    for part in (
      self.qkv,
      self.attention_output,
      self.output_norm,
      self.gated,
    ):
      build_part(part, input_shape)
    build_part(self.output_, [None, self._inner])

  def tensors(self) -> BlockWeights:
    """Reads the weights; call it where the encoder casts variables."""
    kernel, bias = self.qkv.tensors()
    query, key, value = zip(
      tf.split(kernel, 3, axis=1), tf.split(bias, 3), strict=True
    )
    return BlockWeights(
      attention_norm=None if self._first else self.attention_norm.tensors(),
      query=query,
      key=key,
      value=value,
      attention_output=self.attention_output.tensors(),
      output_norm=self.output_norm.tensors(),
      intermediate=self.gated.tensors(),
      output=self.output_.tensors(),
    )


class ModernBertEncoder(StreamEncoder):
  """Embeddings, blocks with their norms before, a last norm and a pooler."""

  shape: ModernBertShape

  def __init__(self, shape: ModernBertShape, **kwargs):
    """Initializes the encoder; see `StreamEncoder`."""
    super().__init__(shape, **kwargs)
    normed = lambda name: LayerNorm(shifts=shape.shifts, name=name)
    self.embedding_norm = normed("embedding_layer_norm")
    self.blocks = [
      ModernBertBlock(shape, first=not i, name=f"layer_{i}")
      for i in range(shape.layers)
    ]
    self.final_norm = normed("final_layer_norm")
    self.pooler = Linear(
      shape.hidden, use_bias="pooler" in shape.biased, name="pooler"
    )
    self.pooler_norm = normed("pooler_layer_norm")

  def build(self, input_shape):
    """Creates the variables of all parts; no input shape is needed."""
    del input_shape
    size = [self.shape.words, self.hidden_size]
    # Gathered rows are cast to the compute type, not the whole table.
    self.word = self.add_weight(
      "word_embeddings", size, experimental_autocast=False
    )
    for part in (
      self.embedding_norm,
      *self.blocks,
      self.final_norm,
      self.pooler,
      self.pooler_norm,
    ):
      build_part(part, [None, self.hidden_size])
    self.built = True

  def encode(
    self,
    features: Mapping[str, tf.Tensor],
    tokens: Tokens,
    random: Stream | None,
    pooled_only: bool,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Encodes sequences; see `StreamEncoder.encode`."""
    shape = self.shape
    dtype = tf.as_dtype(self.compute_dtype)
    normed = lambda x, part: norm(x, part.tensors(), shape.epsilon, dtype)
    words = tf.gather(self.word, joined(features["word_ids"]))
    x = normed(words, self.embedding_norm)
    if random is not None:
      x = random.dropout(x, self._dropout, names=tokens.names)
    width = tokens.rows.shape[1]
    firsts_only = pooled_only and not shape.mean
    for i, block in enumerate(self.blocks):
      reach = shape.reaches[i]
      x = run_pre_norm(
        x,
        block.tensors(),
        tokens,
        random and random.child_key(),
        heads=shape.heads,
        rate=self._dropout,
        epsilon=shape.epsilon,
        activation=shape.activation,
        theta=shape.thetas[i],
        # A row that fits into the window needs none.
        bias=tf.constant(window(width, reach)) if 0 < reach < width else None,
        firsts_only=firsts_only and i == len(self.blocks) - 1,
      )
    x = normed(x, self.final_norm)
    if shape.mean:
      chosen = _means(x, features, tokens)
    else:
      chosen = x if firsts_only else tf.gather(x, tokens.firsts)
    kernel, bias = self.pooler.tensors()
    pooled = bias_activation(tf.matmul(chosen, kernel), bias, shape.pooler)
    return x, normed(pooled, self.pooler_norm)


def _means(x, features, tokens):
  """The mean of the tokens of each sequence: [sequences, hidden].

  A product sums in a fixed order, as a scatter does not.
  """
  num_shares, count = features["word_ids"].shape
  sequences = features["firsts"].shape[1]
  # Of a token: the number of its sequence, from 1 on; 0: it is padding.
  holder = tf.gather(tf.reshape(tokens.segments, [-1]), tokens.slots)
  holder = tf.reshape(holder, [num_shares, count]) - 1
  member = tf.one_hot(holder, sequences, axis=1)
  sums = tf.matmul(
    member, tf.cast(tf.reshape(x, [num_shares, count, -1]), tf.float32)
  )
  lengths = tf.maximum(tf.reduce_sum(member, -1, keepdims=True), 1.0)
  means = tf.cast(sums / lengths, x.dtype)
  return tf.reshape(means, [num_shares * sequences, -1])

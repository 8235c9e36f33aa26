"""A BERT encoder for streams of tokens (Devlin et al., arXiv 1810.04805).

Model Garden's encoder knows one sequence a row and draws dropout from a hidden
generator. This one takes a stream of tokens in which sequences follow each
other, so nearly all of its work is on real tokens; rows of a common width
exist for attention alone, and several sequences share one. Random bits come
from the engine's stream. Its weights come from Model Garden checkpoints, and a
test holds its outputs to those of Model Garden's encoder.
"""

import functools
from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from engine.randomness import Stream
from tasks.model.bert_config import BertConfig
from tasks.model.block import BlockWeights, Tokens, run_block
from tasks.model.fused import add_norm


def build_part(part: tf_keras.layers.Layer, input_shape: list | None) -> None:
  """Creates a layer's variables once, under its name, without calling it."""
  if part.built:
    return
  with tf.name_scope(part.name):
    part.build(input_shape)
  part.built = True


class Linear(tf_keras.layers.Layer):
  """Holds kernel and bias of a product."""

  def __init__(self, units: int, **kwargs):
    super().__init__(**kwargs)
    self.units = units

  def build(self, input_shape):
    """Creates kernel and bias."""
    self.kernel = self.add_weight("kernel", [input_shape[-1], self.units])
    self.bias = self.add_weight(
      "bias", [self.units], initializer="zeros", experimental_autocast=False
    )


class LayerNorm(tf_keras.layers.Layer):
  """Holds scale and shift of a layer norm (Ba et al., arXiv 1607.06450)."""

  def build(self, input_shape):
    """Creates scale and shift."""
    self.gamma, self.beta = (
      self.add_weight(
        name, input_shape[-1:], initializer=value, experimental_autocast=False
      )
      for name, value in (("gamma", "ones"), ("beta", "zeros"))
    )


class Block(tf_keras.layers.Layer):
  """Holds the weights of a block; `tasks.model.block` computes it."""

  def __init__(self, config: BertConfig, **kwargs):
    super().__init__(**kwargs)
    hidden = config.hidden_size
    self.query, self.key, self.value, self.attention_output, self.output_ = (
      Linear(hidden, name=name)
      for name in ("query", "key", "value", "attention_output", "output")
    )
    self.intermediate = Linear(config.intermediate_size, name="intermediate")
    self.attention_norm, self.output_norm = (
      LayerNorm(name=name)
      for name in ("attention_layer_norm", "output_layer_norm")
    )

  def build(self, input_shape):
    """Creates the variables of all parts."""
    inner = [None, self.intermediate.units]
    for part in (self.query, self.key, self.value, self.attention_output):
      build_part(part, input_shape)
    build_part(self.attention_norm, input_shape)
    build_part(self.intermediate, input_shape)
    build_part(self.output_, inner)
    build_part(self.output_norm, input_shape)

  def tensors(self) -> BlockWeights:
    """Reads the weights; call it where the encoder casts variables."""
    read = tf.convert_to_tensor
    linear = lambda part: (read(part.kernel), read(part.bias))
    norm = lambda part: (read(part.gamma), read(part.beta))
    return BlockWeights(
      query=linear(self.query),
      key=linear(self.key),
      value=linear(self.value),
      attention_output=linear(self.attention_output),
      attention_norm=norm(self.attention_norm),
      intermediate=linear(self.intermediate),
      output=linear(self.output_),
      output_norm=norm(self.output_norm),
    )


class Encoder(tf_keras.layers.Layer):
  """Embeddings, blocks and pooler of BERT."""

  def __init__(self, config: BertConfig, *, dropout: float, **kwargs):
    """Initializes the encoder.

    Args:
      config: its sizes.
      dropout: rate for embeddings, attention shares and block outputs.
      **kwargs: of the Keras layer.
    """
    super().__init__(**kwargs)
    self.config = config
    self._dropout = dropout
    self.embedding_norm = LayerNorm(name="embedding_layer_norm")
    self.blocks = [
      Block(config, name=f"layer_{i}") for i in range(config.num_hidden_layers)
    ]
    self.pooler = tf_keras.layers.Dense(
      config.hidden_size, activation="tanh", name="pooler"
    )

  @property
  def hidden_size(self) -> int:
    """Size of the pooled output."""
    return self.config.hidden_size

  def build(self, input_shape):
    """Creates the variables of all parts; no input shape is needed."""
    del input_shape
    sizes = {
      "word_embeddings": self.config.vocab_size,
      "position_embeddings": self.config.max_position_embeddings,
      "type_embeddings": self.config.type_vocab_size,
    }
    # Gathered rows are cast to the compute type, not the whole table.
    self.word, self.position, self.type = (
      self.add_weight(
        name, [size, self.config.hidden_size], experimental_autocast=False
      )
      for name, size in sizes.items()
    )
    hidden = [None, self.config.hidden_size]
    for part in (self.embedding_norm, *self.blocks, self.pooler):
      build_part(part, hidden)
    self.built = True

  def call(
    self,
    features: Mapping[str, tf.Tensor],
    random: Stream | None = None,
    pooled_only: bool = False,
  ) -> tuple[tf.Tensor | None, tf.Tensor]:
    """Encodes sequences.

    Args:
      features: int32 `word_ids`, `type_ids`, `positions` (in their sequence),
        `names` and `slots`, each [shares, tokens]; `rows` and `segments`,
        each [shares, rows, width]; and `firsts`, [shares, sequences]. See
        `Tokens`; all of them name tokens and places of their own share.
      random: bits for dropout, or None.
      pooled_only: leave out what only the sequence output needs: most of the
        last block.

    Returns:
      The sequence output [shares, tokens, hidden] or None, and the pooled
      output [shares, sequences, hidden].
    """
    num_shares, count = features["word_ids"].shape
    _, rows, width = features["rows"].shape
    flat = functools.partial(_flat, features)
    tokens = Tokens(
      rows=flat("rows", count),
      slots=flat("slots", rows * width),
      segments=flat("segments"),
      names=flat("names"),
      firsts=flat("firsts", count),
    )
    x = add_norm(
      tf.gather(self.word, flat("word_ids"))
      + tf.gather(self.position, flat("positions"))
      + tf.gather(self.type, flat("type_ids")),
      None,
      None,
      tf.convert_to_tensor(self.embedding_norm.gamma),
      tf.convert_to_tensor(self.embedding_norm.beta),
      None,
      rate=0.0,
      epsilon=self.config.layer_norm_eps,
      dtype=tf.as_dtype(self.compute_dtype),
    )
    if random is not None:
      x = random.dropout(x, self._dropout, names=tokens.names)
    for i, block in enumerate(self.blocks):
      x = run_block(
        x,
        block.tensors(),
        tokens,
        random and random.child_key(),
        heads=self.config.num_attention_heads,
        rate=self._dropout,
        epsilon=self.config.layer_norm_eps,
        exact_gelu=self.config.exact_gelu,
        firsts_only=pooled_only and i == len(self.blocks) - 1,
      )
    first = x if pooled_only else tf.gather(x, tokens.firsts)
    pooled = tf.reshape(
      self.pooler(first), [num_shares, -1, self.config.hidden_size]
    )
    if pooled_only:
      return None, pooled
    return tf.reshape(x, [num_shares, count, -1]), pooled


def _flat(features, name, size=0):
  """All shares of a feature in one axis; `size` is of what its values name."""
  x = features[name]
  first = size * tf.range(x.shape[0])
  x += tf.reshape(first, [-1] + [1] * (x.shape.rank - 1))
  return tf.reshape(x, [-1, *x.shape[2:]])

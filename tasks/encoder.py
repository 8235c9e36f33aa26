"""A BERT encoder for streams of tokens (Devlin et al., arXiv 1810.04805).

Model Garden's encoder knows one sequence a row and draws dropout from a hidden
generator. This one takes a stream of tokens in which sequences follow each
other, so nearly all of its work is on real tokens; rows of a common width exist
for attention alone, and several sequences share one. Random bits come from the
engine's stream. Its weights come from Model Garden checkpoints, and a test holds
its outputs to those of Model Garden's encoder.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf
import tf_keras

from engine.errors import UserError
from engine.randomness import BYTES, Stream, dropped_bytes
from tasks.fused import add_norm, bias_gelu, shares, split_heads, take


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertConfig:
  """The fields of `bert_config.json` that shape an encoder."""

  vocab_size: int
  hidden_size: int
  num_hidden_layers: int
  num_attention_heads: int
  intermediate_size: int
  max_position_embeddings: int = 512
  type_vocab_size: int = 2
  hidden_act: str = "gelu"
  layer_norm_eps: float = 1e-12
  initializer_range: float = 0.02

  def __post_init__(self):
    if self.hidden_act != "gelu":
      raise UserError(
        f"`hidden_act` is {self.hidden_act!r}, but only BERT's exact 'gelu' is "
        "supported: choose another --encoder."
      )

  @classmethod
  def read(cls, path: str) -> "BertConfig":
    """Reads `bert_config.json` or a Hugging Face `config.json`.

    Raises:
      UserError: where it is no config of a BERT encoder.
    """
    try:
      with tf.io.gfile.GFile(path) as file:
        values = json.load(file)
      names = {field.name for field in dataclasses.fields(cls)}
      return cls(**{k: v for k, v in values.items() if k in names})
    except (tf.errors.OpError, json.JSONDecodeError, TypeError) as error:
      raise UserError(
        f"{path} is not the config of a BERT encoder ({error}): choose another "
        "--encoder."
      ) from error


def build_part(part: tf_keras.layers.Layer, input_shape: list) -> None:
  """Creates a layer's variables, under its name, without calling it."""
  with tf.name_scope(part.name):
    part.build(input_shape)
  part.built = True


class Tokens(NamedTuple):
  """Where the tokens of a batch are.

  Attributes:
    rows: int32 [rows, width], the token that each place of a row holds; one
      that is padding, where it holds none.
    slots: int32 [tokens], the place (in all rows, flattened) of each token.
    segments: int32 [rows, width], which sequence holds a place; 0: none.
    places: int32 [tokens], what names a token in the global batch.
  """

  rows: tf.Tensor
  slots: tf.Tensor
  segments: tf.Tensor
  places: tf.Tensor


class Linear(tf_keras.layers.Layer):
  """A product. Its bias is added by whatever reads it next."""

  def __init__(self, units: int, **kwargs):
    super().__init__(**kwargs)
    self.units = units

  def build(self, input_shape):
    """Creates kernel and bias."""
    self.kernel = self.add_weight("kernel", [input_shape[-1], self.units])
    self.bias = self.add_weight(
      "bias", [self.units], initializer="zeros", experimental_autocast=False
    )

  def call(self, x: tf.Tensor) -> tf.Tensor:
    """Multiplies [n, size] with the kernel."""
    return tf.matmul(x, self.kernel)


class LayerNorm(tf_keras.layers.Layer):
  """Layer normalisation (Ba et al., arXiv 1607.06450), always in float32."""

  def __init__(self, epsilon: float, **kwargs):
    super().__init__(autocast=False, **kwargs)
    self._epsilon = epsilon

  def build(self, input_shape):
    """Creates scale and shift."""
    self.gamma, self.beta = (
      self.add_weight(
        name, input_shape[-1:], initializer=value, experimental_autocast=False
      )
      for name, value in (("gamma", "ones"), ("beta", "zeros"))
    )

  def call(
    self,
    x: tf.Tensor,
    *,
    bias: tf.Tensor | None = None,
    residual: tf.Tensor | None = None,
    bits: tf.Tensor | None = None,
    rate: float = 0.0,
  ) -> tf.Tensor:
    """Normalises dropout(x + bias) + residual: [n, size]."""
    return add_norm(
      x,
      bias,
      residual,
      tf.convert_to_tensor(self.gamma),
      tf.convert_to_tensor(self.beta),
      bits,
      rate=rate,
      epsilon=self._epsilon,
      dtype=tf.as_dtype(self.compute_dtype),
    )


class Block(tf_keras.layers.Layer):
  """Self-attention and feed-forward, each with residual and norm behind."""

  def __init__(self, config: BertConfig, dropout: float, **kwargs):
    super().__init__(**kwargs)
    hidden, self._dropout = config.hidden_size, dropout
    self._heads = config.num_attention_heads
    self.query, self.key, self.value, self.attention_output, self.output_ = (
      Linear(hidden, name=name)
      for name in ("query", "key", "value", "attention_output", "output")
    )
    self.intermediate = Linear(config.intermediate_size, name="intermediate")
    self.attention_norm, self.output_norm = (
      LayerNorm(config.layer_norm_eps, name=name)
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

  def call(
    self, x: tf.Tensor, tokens: Tokens, random: Stream | None = None
  ) -> tf.Tensor:
    """Computes one block.

    Args:
      x: [tokens, hidden].
      tokens: where they are.
      random: bits for dropout, or None.
    """
    x = self._finish(
      self.attention_output,
      self.attention_norm,
      self._attend(x, tokens, random),
      x,
      tokens,
      random,
    )
    inner = self.intermediate(x)
    inner = bias_gelu(inner, tf.convert_to_tensor(self.intermediate.bias))
    return self._finish(
      self.output_, self.output_norm, inner, x, tokens, random
    )

  def _finish(self, product, norm, x, residual, tokens, random):
    """Computes norm(dropout(product(x)) + residual)."""
    bits = None
    if random is not None and dropped_bytes(self._dropout):
      bits = random.row_bits(residual.shape[-1], places=tokens.places)
    return norm(
      product(x),
      bias=tf.convert_to_tensor(product.bias),
      residual=residual,
      bits=bits,
      rate=self._dropout,
    )

  def _attend(self, x, tokens, random):
    parts = self.query, self.key, self.value
    # Attention divides its scores by the root of the size of a head.
    scale = (x.shape[-1] // self._heads) ** -0.5
    scales = scale, 1.0, 1.0
    kernel = tf.concat(
      [p.kernel * tf.cast(s, x.dtype) for p, s in zip(parts, scales)], 1
    )
    bias = tf.concat([p.bias * s for p, s in zip(parts, scales)], 0)
    rows, width = tokens.rows.shape
    places = tf.reshape(tokens.rows, [-1])
    product = take(tf.matmul(x, kernel), places, tokens.slots)
    query, key, value = split_heads(
      product, bias, rows=rows, heads=self._heads
    )
    scores = tf.matmul(key, query, transpose_b=True)
    bits = None
    if random is not None and dropped_bytes(self._dropout):
      names = tf.reshape(tf.gather(tokens.places, places), [rows, 1, width])
      counts = -(-self._heads // BYTES)
      bits = tf.stack(
        [random.bits(names[:, 0, :, None], names) for _ in range(counts)], 1
      )
    kept = shares(scores, tokens.segments, bits, rate=self._dropout)
    mixed = tf.transpose(tf.matmul(kept, value, transpose_a=True), [0, 2, 1, 3])
    return take(tf.reshape(mixed, [rows * width, -1]), tokens.slots, places)


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
    self.embedding_norm = LayerNorm(
      config.layer_norm_eps, name="embedding_layer_norm"
    )
    self.blocks = [
      Block(config, dropout, name=f"layer_{i}")
      for i in range(config.num_hidden_layers)
    ]
    self.pooler = tf_keras.layers.Dense(
      config.hidden_size, activation="tanh", name="pooler"
    )

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

  def call(
    self, features: Mapping[str, tf.Tensor], random: Stream | None = None
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Encodes sequences.

    Args:
      features: int32 `word_ids`, `type_ids`, `positions` (in their sequence),
        `places` and `slots`, each [shares, tokens]; `rows` and `segments`,
        each [shares, rows, width] (see `Tokens`; all of them name tokens and
        places of their own share); and `first_tokens` [shares, sequences],
        the token that is each sequence's [CLS].
      random: bits for dropout, or None.

    Returns:
      The sequence output [shares, tokens, hidden], and the pooled output
      [shares, sequences, hidden].
    """
    num_shares, count = features["word_ids"].shape
    _, rows, width = features["rows"].shape
    flat = functools.partial(_flat, features)
    tokens = Tokens(
      rows=flat("rows", count),
      slots=flat("slots", rows * width),
      segments=flat("segments"),
      places=flat("places"),
    )
    x = (
      tf.gather(self.word, flat("word_ids"))
      + tf.gather(self.position, flat("positions"))
      + tf.gather(self.type, flat("type_ids"))
    )
    x = self.embedding_norm(x)
    if random is not None and dropped_bytes(self._dropout):
      x = random.dropout(x, self._dropout, places=tokens.places)
    for block in self.blocks:
      x = block(x, tokens, random=random)
    first = self.pooler(tf.gather(x, flat("first_tokens", count)))
    return (
      tf.reshape(x, [num_shares, count, -1]),
      tf.reshape(first, [num_shares, -1, first.shape[-1]]),
    )


def _flat(features, name, size=0):
  """All shares of a feature in one axis; `size` is of what its values name."""
  x = features[name]
  first = size * tf.range(x.shape[0])
  x += tf.reshape(first, [-1] + [1] * (x.shape.rank - 1))
  return tf.reshape(x, [-1, *x.shape[2:]])

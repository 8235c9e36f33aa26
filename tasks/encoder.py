"""A BERT encoder for packed rows (Devlin et al., arXiv 1810.04805).

Model Garden's encoder knows one sequence a row and draws dropout from a hidden
generator; this one takes rows that several sequences share, and random bits
from the engine's stream. Its weights come from Model Garden checkpoints, and a
test holds its outputs to those of Model Garden's encoder.
"""

import dataclasses
import json
from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from engine.errors import UserError
from engine.randomness import Stream


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


class LayerNorm(tf_keras.layers.Layer):
  """Layer normalisation (Ba et al., arXiv 1607.06450), always in float32."""

  def __init__(self, epsilon: float, **kwargs):
    super().__init__(dtype="float32", **kwargs)
    self._epsilon = epsilon

  def build(self, input_shape):
    """Creates scale and shift."""
    size = input_shape[-1:]
    self.gamma = self.add_weight("gamma", size, initializer="ones")
    self.beta = self.add_weight("beta", size, initializer="zeros")

  def call(self, x: tf.Tensor) -> tf.Tensor:
    """Normalises the last axis of `x`."""
    return _layer_norm(
      x,
      tf.convert_to_tensor(self.gamma),
      tf.convert_to_tensor(self.beta),
      self._epsilon,
    )


def _layer_norm(x, gamma, beta, epsilon):
  """The closed-form gradient saves half of the ops of the derived one."""

  @tf.custom_gradient
  def normalise(x, gamma, beta):
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    scale = tf.math.rsqrt(variance + epsilon)
    normed = centred * scale

    def gradient(upstream):
      inner = upstream * gamma
      mean = tf.reduce_mean(inner, -1, keepdims=True)
      along = tf.reduce_mean(inner * normed, -1, keepdims=True)
      rows = list(range(len(x.shape) - 1))
      return (
        scale * (inner - mean - normed * along),
        tf.reduce_sum(upstream * normed, rows),
        tf.reduce_sum(upstream, rows),
      )

    return normed * gamma + beta, gradient

  return normalise(x, gamma, beta)


class Block(tf_keras.layers.Layer):
  """Self-attention and feed-forward, each with residual and norm behind."""

  def __init__(self, config: BertConfig, dropout: float, **kwargs):
    super().__init__(**kwargs)
    hidden, self._dropout = config.hidden_size, dropout
    self._heads = config.num_attention_heads
    self.query, self.key, self.value, self.attention_output, self.output_ = (
      tf_keras.layers.Dense(hidden, name=name)
      for name in ("query", "key", "value", "attention_output", "output")
    )
    self.intermediate = tf_keras.layers.Dense(
      config.intermediate_size, name="intermediate"
    )
    self.attention_norm, self.output_norm = (
      LayerNorm(config.layer_norm_eps, name=name)
      for name in ("attention_layer_norm", "output_layer_norm")
    )

  def call(
    self, x: tf.Tensor, mask: tf.Tensor, random: Stream | None = None
  ) -> tf.Tensor:
    """Computes one block.

    Args:
      x: [rows * width, hidden], token after token.
      mask: float32 [rows, 1, width, width], 0 or very negative.
      random: bits for dropout, or None.
    """
    rows = mask.shape[0]

    def drop(values):
      if random is None:
        return values
      return random.dropout(values, self._dropout, rows=rows)

    def finish(values, residual, norm):
      total = tf.cast(drop(values), tf.float32) + tf.cast(residual, tf.float32)
      return tf.cast(norm(total), self.compute_dtype)

    attended = self._attend(x, mask, drop)
    x = finish(self.attention_output(attended), x, self.attention_norm)
    # Exact (erf) GELU.
    inner = tf.nn.gelu(self.intermediate(x), approximate=False)
    return finish(self.output_(inner), x, self.output_norm)

  def _attend(self, x, mask, drop):
    rows, _, width, _ = mask.shape
    size = x.shape[-1] // self._heads

    def split(values):
      values = tf.reshape(values, [rows, width, self._heads, size])
      return tf.transpose(values, [0, 2, 1, 3])

    query = split(self.query(x)) * tf.cast(size**-0.5, self.compute_dtype)
    scores = tf.matmul(query, split(self.key(x)), transpose_b=True)
    shares = tf.nn.softmax(tf.cast(scores, tf.float32) + mask)
    shares = drop(tf.cast(shares, self.compute_dtype))
    mixed = tf.matmul(shares, split(self.value(x)))
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), x.shape)


class Encoder(tf_keras.layers.Layer):
  """Embeddings, blocks and pooler of BERT, on packed rows."""

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
    """Creates the embedding tables."""
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

  def call(
    self, features: Mapping[str, tf.Tensor], random: Stream | None = None
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Encodes rows.

    Args:
      features: int32 `word_ids`, `type_ids`, `positions` (in their sequence)
        and `segments` (number of the sequence in its row, 0: padding), each
        [rows, width]; and `first_tokens` [rows, slots], the column of each
        sequence's [CLS].
      random: bits for dropout, or None.

    Returns:
      The sequence output [rows, width, hidden], and the pooled output
      [rows, slots, hidden].
    """
    rows, width = features["word_ids"].shape
    x = (
      tf.gather(self.word, tf.reshape(features["word_ids"], [-1]))
      + tf.gather(self.position, tf.reshape(features["positions"], [-1]))
      + tf.gather(self.type, tf.reshape(features["type_ids"], [-1]))
    )
    x = self.embedding_norm(x)
    if random is not None:
      x = random.dropout(x, self._dropout, rows=rows)
    x = tf.cast(x, self.compute_dtype)
    segments = features["segments"]
    together = segments[:, None, :, None] == segments[:, None, None, :]
    mask = tf.where(together, 0.0, -1e9)
    for block in self.blocks:
      x = block(x, mask, random=random)
    x = tf.reshape(x, [rows, width, -1])
    first = tf.gather(x, features["first_tokens"], batch_dims=1)
    return x, self.pooler(first)

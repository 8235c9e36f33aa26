"""A `Transformer` in plain ops on dense rows, as others can run it.

Our encoder is made for training: static shapes, streams of tokens, clusters
that XLA compiles. What leaves the project (`launch.export`) takes any number of
rows of any length instead.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from tasks.encoders.face.weights import Weight
from tasks.model.activations import ACTIVATIONS
from tasks.model.contract import INPUTS, Encoder
from tasks.model.distances import bucket
from tasks.model.transformer import Transformer

FAR = -1e9  # What is added to the score of padding.


class Dense(tf_keras.Model):
  """Holds copies of an encoder's weights by their paths."""

  def __init__(self, encoder: Encoder, weights: Iterable[Weight]):
    """Copies the weights."""
    super().__init__(name="encoder")
    self.values = {
      w.path: tf.Variable(w.variable(encoder), name=w.path.replace(".", "/"))
      for w in weights
    }

  def norm(self, x: tf.Tensor, path: str, epsilon: float) -> tf.Tensor:
    """A layer norm, with a shift or without."""
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    unit = centred * tf.math.rsqrt(variance + epsilon)
    return self._shifted(unit * self.values[f"{path}.gamma"], f"{path}.beta")

  def product(self, x: tf.Tensor, path: str) -> tf.Tensor:
    """A product, with a bias or without."""
    product = tf.matmul(x, self.values[f"{path}.kernel"])
    return self._shifted(product, f"{path}.bias")

  def _shifted(self, x, path):
    return x + self.values[path] if path in self.values else x


def heads_of(x: tf.Tensor, heads: int) -> tf.Tensor:
  """Splits [rows, length, hidden]: [rows, heads, length, size of a head]."""
  rows, length = tf.shape(x)[0], tf.shape(x)[1]
  x = tf.reshape(x, [rows, length, heads, x.shape[-1] // heads])
  return tf.transpose(x, [0, 2, 1, 3])


def attended(
  query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor
) -> tf.Tensor:
  """Attention of [rows, heads, length, size]: [rows, length, hidden]."""
  size = query.shape[-1]
  scores = tf.matmul(query, key, transpose_b=True) * size**-0.5
  mixed = tf.matmul(tf.nn.softmax(scores + bias), value)
  mixed = tf.transpose(mixed, [0, 2, 1, 3])
  shape = tf.shape(mixed)
  return tf.reshape(mixed, [shape[0], shape[1], value.shape[1] * size])


def of_padding(mask: tf.Tensor) -> tf.Tensor:
  """What keeps attention off padding: [rows, 1, 1, length]."""
  return (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * FAR


class DenseTransformer(Dense):
  """See `EncoderFiles.dense`."""

  def __init__(self, encoder: Transformer, weights: Iterable[Weight]):
    super().__init__(encoder, weights)
    self._shape = shape = encoder.shape
    if shape.buckets:
      # The bucket of key - query, from the least difference on.
      most = shape.positions
      self._buckets = bucket(-np.arange(1 - most, most), shape.buckets)

  def call(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Encodes rows; see `EncoderFiles.dense`."""
    words, mask, types = (inputs[name] for name in INPUTS)
    shape = self._shape
    bias = of_padding(mask) + self._bias(tf.shape(words)[1])
    x = self._embedded(words, types)
    for i in range(shape.layers):
      part = lambda name, i=i: f"blocks.{i}.{name}"
      query, key, value = (
        heads_of(self.product(x, part(name)), shape.heads)
        for name in ("query", "key", "value")
      )
      mixed = attended(query, key, value, bias)
      x += self.product(mixed, part("attention_output"))
      x = self.norm(x, part("attention_norm"), shape.epsilon)
      inner = ACTIVATIONS[shape.activation](
        self.product(x, part("intermediate"))
      )
      x += self.product(inner, part("output_"))
      x = self.norm(x, part("output_norm"), shape.epsilon)
    pooled = ACTIVATIONS[shape.pooler](self.product(x[:, 0], "pooler"))
    return {"pooled_output": pooled, "sequence_output": x}

  def _embedded(self, words, types):
    shape, values = self._shape, self.values
    first, length = shape.first_position, tf.shape(words)[1]
    places = values["position.embeddings"][first : first + length]
    x = tf.gather(values["word.embeddings"], words) + places
    if shape.types > 1 and shape.typed:
      x += tf.gather(values["type.embeddings"], types)
    elif shape.types:
      x += values["type.embeddings"][0]
    x = self.norm(x, "embedding_norm", shape.epsilon)
    if shape.embedding != shape.hidden:
      x = self.product(x, "projection")
    return x

  def _bias(self, length):
    """What distance adds to scores: [1, heads, length, length], or 0."""
    if not self._shape.buckets:
      return 0.0
    place = tf.range(length)
    apart = place[None, :] - place[:, None] + self._shape.positions - 1
    found = tf.gather(tf.constant(self._buckets, tf.int32), apart)
    table = self.values["distances.embeddings"]
    return tf.transpose(tf.gather(table, found), [2, 0, 1])[None]

"""ModernBERT in plain ops on dense rows, as others can run it."""

from collections.abc import Iterable, Mapping

import tensorflow as tf

from tasks.encoders.face.dense import (
  FAR,
  Dense,
  attended,
  heads_of,
  of_padding,
)
from tasks.encoders.face.weights import Weight
from tasks.encoders.modernbert.encoder import ModernBertEncoder
from tasks.model.activations import ACTIVATIONS
from tasks.model.contract import INPUTS


class DenseModernBert(Dense):
  """See `EncoderFiles.dense`."""

  def __init__(self, encoder: ModernBertEncoder, weights: Iterable[Weight]):
    super().__init__(encoder, weights)
    self._shape = encoder.shape

  def call(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Encodes rows; see `EncoderFiles.dense`."""
    words, mask, _ = (inputs[name] for name in INPUTS)
    shape = self._shape
    normed = lambda x, path: self.norm(x, path, shape.epsilon)
    place = tf.range(tf.shape(words)[1])
    apart = tf.abs(place[:, None] - place[None, :])
    x = normed(
      tf.gather(self.values["word.embeddings"], words), "embedding_norm"
    )
    for i in range(shape.layers):
      bias, reach = of_padding(mask), shape.reaches[i]
      if reach:
        bias += tf.cast(apart > reach, tf.float32) * FAR
      unit = normed(x, f"blocks.{i}.attention_norm") if i else x
      qkv = self.product(unit, f"blocks.{i}.qkv")
      query, key, value = (
        heads_of(part, shape.heads) for part in tf.split(qkv, 3, axis=-1)
      )
      query, key = (_turned(y, place, shape.thetas[i]) for y in (query, key))
      mixed = attended(query, key, value, bias)
      x += self.product(mixed, f"blocks.{i}.attention_output")
      unit = normed(x, f"blocks.{i}.output_norm")
      inner, gate = tf.split(
        self.product(unit, f"blocks.{i}.gated"), 2, axis=-1
      )
      inner = ACTIVATIONS[shape.activation](inner) * gate
      x += self.product(inner, f"blocks.{i}.output_")
    x = normed(x, "final_norm")
    chosen = x[:, 0]
    if shape.mean:
      real = tf.cast(mask, tf.float32)[:, :, None]
      chosen = tf.reduce_sum(x * real, 1) / tf.reduce_sum(real, 1)
    pooled = ACTIVATIONS[shape.pooler](self.product(chosen, "pooler"))
    return {
      "pooled_output": normed(pooled, "pooler_norm"),
      "sequence_output": x,
    }


def _turned(x, place, theta):
  """As `tasks.model.rotary.turned`, for rows of any length."""
  half = x.shape[-1] // 2
  steps = tf.constant([theta ** -(i / half) for i in range(half)])
  angles = tf.cast(place, tf.float32)[:, None] * steps
  cos, sin = tf.cos(angles), tf.sin(angles)
  one, two = tf.split(x, 2, axis=-1)
  return tf.concat([one * cos - two * sin, two * cos + one * sin], axis=-1)

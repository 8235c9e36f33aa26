"""Where the tokens of a batch are, for all shares together."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import tensorflow as tf


class Tokens(NamedTuple):
  """Where the tokens of a batch are.

  Attributes:
    rows: int32 [rows, width], the token that each place of a row holds; one
      that is padding, where it holds none.
    slots: int32 [tokens], the place (in all rows, flattened) of each token.
    segments: int32 [rows, width], which sequence holds a place; 0: none.
    names: int32 [tokens], what names a token in the global batch.
    firsts: int32 [sequences], the first token of each.
  """

  rows: tf.Tensor
  slots: tf.Tensor
  segments: tf.Tensor
  names: tf.Tensor
  firsts: tf.Tensor

  @classmethod
  def of(cls, features: Mapping[str, tf.Tensor]) -> Self:
    """Takes them from the features of a batch (`Encoder.call`)."""
    count = features["word_ids"].shape[1]
    _, rows, width = features["rows"].shape
    return cls(
      rows=joined(features["rows"], count),
      slots=joined(features["slots"], rows * width),
      segments=joined(features["segments"]),
      names=joined(features["names"]),
      firsts=joined(features["firsts"], count),
    )


def joined(x: tf.Tensor, size: int = 0) -> tf.Tensor:
  """All shares of a feature in one axis.

  Args:
    x: int32 [shares, n, ...].
    size: how many tokens or places of a share its values number; 0: none.

  Returns:
    int32 [shares * n, ...], whose values number those of all shares.
  """
  first = size * tf.range(x.shape[0])
  x += tf.reshape(first, [-1] + [1] * (x.shape.rank - 1))
  return tf.reshape(x, [-1, *x.shape[2:]])

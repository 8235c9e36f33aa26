"""Where the tokens of a batch are, for all shares together."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import tensorflow as tf

from engine.fusion import fused


class Place(NamedTuple):
  """What the host says of a pair: all else follows from it on the device.

  A pair that is not there has no length, and starts behind all others.

  Attributes:
    name: of its first token in the global batch; the others follow.
    start: its first token in the stream of its share.
    length: in tokens.
    second: tokens before its second sentence.
    place: of its first token, in the rows of its share.
    by_place: not of this pair: the slot of the pair that is the n-th by place.
  """

  name: Any
  start: Any
  length: Any
  second: Any
  place: Any
  by_place: Any


def expanded(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Says of each token and place what `Encoder.call` takes.

  A number for each pair comes from the host, not one for each token: less is
  sent, and a GPU makes its index arrays itself.

  Args:
    features: int32 `word_ids` [shares, tokens]; `places` [shares, slots, 6],
      of each slot a `Place`; `table` [shares, rows, width, 0], of which the
      shape alone matters.
  """
  words = features["word_ids"]
  _, rows, width, _ = features["table"].shape
  places = features["places"]
  # On their own: each of the outputs would search again.
  slot, holder = _owners(places, words.shape[1], rows * width)
  each = _expanded(places, slot, holder, rows, width)
  return {"word_ids": words, **each}


@fused
def _owners(places, tokens, table):
  """Slot of the pair that each token, and each place, would belong to."""
  pair = Place(*tf.unstack(places, axis=-1))
  slot = _last(pair.start, tf.range(tokens)[None])
  nth = _last(_at(pair.place, pair.by_place), tf.range(table)[None])
  return slot, _at(pair.by_place, nth)


@fused
def _expanded(places, slot, holder, rows, width):
  pair = Place(*tf.unstack(places, axis=-1))
  tokens = slot.shape[1]
  token, place = tf.range(tokens)[None], tf.range(rows * width)[None]
  position = token - _at(pair.start, slot)
  real = (position >= 0) & (position < _at(pair.length, slot))
  inside = place - _at(pair.place, holder)
  held = (inside >= 0) & (inside < _at(pair.length, holder))
  # Tokens that are padding and places that hold none name each other, so that
  # what comes back from attention is 0 for both (see `fused.take`).
  padding = tf.reduce_min(tf.where(real, tokens, token), 1, keepdims=True)
  hole = tf.reduce_min(tf.where(held, rows * width, place), 1, keepdims=True)
  second = real & (position >= _at(pair.second, slot))
  table = [-1, rows, width]
  return {
    "type_ids": tf.cast(second, tf.int32),
    "positions": tf.where(real, position, 0),
    "names": tf.where(real, _at(pair.name, slot) + position, -1),
    "slots": tf.where(real, _at(pair.place, slot) + position, hole),
    "rows": tf.reshape(
      tf.where(held, _at(pair.start, holder) + inside, padding), table
    ),
    "segments": tf.reshape(tf.where(held, holder + 1, 0), table),
    "firsts": tf.where(pair.length > 0, pair.start, 0),
  }


def _at(values, indices):
  return tf.gather(values, indices, batch_dims=1)


def _last(ordered, x):
  """Index of the last value that is not above `x`, by bisection; else 0.

  Args:
    ordered: int32 [shares, n], ascending.
    x: int32 [1, m].
  """
  shares, count = ordered.shape
  found = tf.zeros([shares, x.shape[1]], tf.int32)
  for power in reversed(range((count - 1).bit_length())):
    ahead = found + 2**power
    below = _at(ordered, tf.minimum(ahead, count - 1)) <= x
    found = tf.where((ahead < count) & below, ahead, found)
  return found


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

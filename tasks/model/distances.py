"""What attention learns of the distance between two tokens.

Places in a row serve as positions: only their differences matter, and tokens
of one sequence lie side by side in it. So one bias serves all rows, however
sequences share them.
"""

import math

import numpy as np
import tensorflow as tf
import tf_keras

_FARTHEST = 128  # Tokens; those beyond share a bucket.
_APART = -1e9  # What a score beyond a window becomes.


class Distances(tf_keras.layers.Layer):
  """A score for each bucket of distances and each head."""

  def __init__(self, buckets: int, heads: int, **kwargs):
    """Initializes the layer."""
    super().__init__(**kwargs)
    self._sizes = buckets, heads

  def build(self, input_shape):
    """Creates the table; no input shape is needed."""
    self.embeddings = self.add_weight(
      "embeddings", list(self._sizes), experimental_autocast=False
    )

  def bias(self, width: int) -> tf.Tensor:
    """Returns the bias of scores in rows of a width.

    Products and copies only: their gradients are sums in a fixed order.

    Returns:
      float32 [heads, width, width], of each key (first) of each query.
    """
    table = tf.convert_to_tensor(self.embeddings)
    # Of key - query from 0 on, then of those below 0: as indices wrap.
    offsets = np.r_[0:width, 1 - width : 0]
    chosen = np.eye(self._sizes[0], dtype=np.float32)
    of_offset = tf.matmul(chosen[bucket(-offsets, self._sizes[0])], table)
    return _shifted(tf.transpose(of_offset), width)


def _shifted(of_offset, width):
  """Lays out values of key - query for all: [heads, width, width].

  Args:
    of_offset: [heads, 2 * width - 1], for 0, 1, ... and below 0, ..., -1.
    width: places of a row.
  """
  # Each row of a table that is one shorter begins one later than that before.
  tiled = tf.tile(of_offset[:, ::-1], [1, width])
  heads, period = of_offset.shape
  tiled = tf.roll(tiled, 1, 1)[:, : width * (period - 1)]
  return tf.reshape(tiled, [heads, width, period - 1])[:, :, :width]


def bucket(distance: np.ndarray, buckets: int) -> np.ndarray:
  """Returns the bucket of the distance from a key to a query, in tokens.

  Half of the buckets are of keys behind the query; of each half, half are of
  one distance each and the others grow with its logarithm, as T5 and MPNet
  have them.

  Args:
    distance: int [n], place of the query - place of the key.
    buckets: their number.
  """
  half = buckets // 2
  exact, far = half // 2, np.abs(distance)
  scale = np.float32(math.log(_FARTHEST / exact))
  ratio = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact))
  grown = exact + (ratio / scale * np.float32(half - exact)).astype(np.int64)
  bucket = np.where(far < exact, far, np.minimum(grown, half - 1))
  return bucket + np.where(distance < 0, half, 0)


def window(width: int, reach: int) -> np.ndarray:
  """Returns the bias that keeps attention within a window.

  Args:
    width: of the rows.
    reach: tokens to either side that a query attends to.

  Returns:
    float32 [1, width, width].
  """
  place = np.arange(width)
  inside = np.abs(place[:, None] - place[None, :]) <= reach
  return np.where(inside, 0.0, _APART).astype(np.float32)[None]

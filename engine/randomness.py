"""Random bits that are a function of (seed, step, place in the global batch).

A stateful generator cannot be resumed exactly and draws other numbers on other
replica counts. Here nothing is drawn from a state. Each place where a model
asks for random bits (a *site*, numbered in the order of tracing) owns one
Philox stream (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC11), keyed by (seed, step). The stream covers the whole global batch; a
replica reads the part that belongs to its rows by starting the counter there.
So the bits of an example do not depend on the number of replicas, and resuming
at step k needs nothing but k.
"""

import tensorflow as tf

_PHILOX = 1
_BYTES_PER_COUNT = 16  # One Philox count yields four 32-bit words.


class Stream:
  """The random bits of one replica in one step.

  Create it inside the traced step: sites are numbered as the model asks.
  """

  def __init__(
    self, *, seed: int, step: tf.Tensor, first_row: tf.Tensor | int = 0
  ):
    """Initializes the stream.

    Args:
      seed: the seed of the run.
      step: int64 scalar, the global step that is being computed.
      first_row: int64 scalar, the place in the global batch of the first row
        that this replica holds.
    """
    # Steps below 2**32 and seeds below 2**31 never share a key.
    self._key = tf.cast([seed * 2**32 + tf.cast(step, tf.int64)], tf.uint64)
    self._first_row = tf.cast(first_row, tf.int64)
    self._sites = 0

  def bytes(self, rows: int, size: int) -> tf.Tensor:
    """Draws `size` random bytes for each of `rows` rows, uint8 [rows, size]."""
    counts = -(-size // _BYTES_PER_COUNT)
    place = tf.cast(self._first_row * counts, tf.uint64)
    counter = tf.stack([place, tf.constant(self._sites, tf.uint64)])
    self._sites += 1
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
      shape=[rows, counts * _BYTES_PER_COUNT // 4],
      key=self._key,
      counter=counter,
      alg=_PHILOX,
      dtype=tf.uint32,
    )
    drawn = tf.reshape(tf.bitcast(words, tf.uint8), [rows, -1])
    return drawn[:, :size]

  def dropout(self, x: tf.Tensor, rate: float, *, rows: int) -> tf.Tensor:
    """Zeroes elements of `x` with probability `rate`, rescales the others.

    One random byte decides about one element, so the rate is rounded to the
    next 1/256 and the scale is exact for the rounded rate.

    Args:
      x: float tensor whose elements are laid out row by row.
      rate: share of elements to zero, in [0, 1).
      rows: number of rows of this replica's batch in `x`.
    """
    dropped = round(rate * 256)
    if not dropped:
      return x
    drawn = tf.reshape(
      self.bytes(rows, x.shape.num_elements() // rows), x.shape
    )
    keep = tf.cast(drawn >= dropped, x.dtype)
    return x * (keep * tf.constant(256 / (256 - dropped), x.dtype))

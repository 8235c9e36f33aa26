"""Random bits that are a function of (seed, step, place in the global batch).

A stateful generator cannot be resumed exactly and draws other numbers on other
replica counts. Here nothing is drawn from a state. Each place where a model
asks for random bits (a *site*, numbered in the order of tracing) has a key of
its own, derived from (seed, step, site); a counter says which bits. So the bits
of an example depend neither on the number of replicas nor on how the batch is
laid out, and resuming at step k needs nothing but k.

The generator is Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3", SC11). It needs only additions, rotations and
exclusive ors of 32 bits, which all vector units have.
"""

import tensorflow as tf

from engine.fusion import fused

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_ROUNDS = 20
BYTES = 8  # That one count yields.


def step_key(seed: int, step: tf.Tensor) -> tf.Tensor:
  """Key of what is random in a step: uint32 [2].

  Args:
    seed: of the run, below 2**31.
    step: int64 scalar, below 2**32: then no two steps share a key.
  """
  return tf.stack([tf.constant(seed, tf.uint32), tf.cast(step, tf.uint32)])


class Stream:
  """The random bits under one key, for one replica.

  Create it inside the traced step: sites are numbered as the model asks.
  """

  def __init__(self, key: tf.Tensor, *, first_row: tf.Tensor | int = 0):
    """Initializes the stream.

    Args:
      key: uint32 [2].
      first_row: int64 scalar, the place in the global batch of the first row
        that this replica holds.
    """
    self._key = key
    self._first_row = tf.cast(first_row, tf.int32)
    self._sites = 0

  def child_key(self) -> tf.Tensor:
    """Returns a new key, of a site or of a part of the model: uint32 [2]."""
    self._sites += 1
    return _child_key(self._key, tf.constant(self._sites, tf.uint32))

  def bits(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Draws 64 bits for each pair of counters.

    Args:
      first: int32, of any shape.
      second: int32, to be broadcast with it.

    Returns:
      uint64, of the common shape.
    """
    bits = _bits(self.child_key(), first, second)
    bits.set_shape(tf.broadcast_static_shape(first.shape, second.shape))
    return bits

  def row_bits(self, size: int, *, names: tf.Tensor) -> tf.Tensor:
    """Draws `size` bytes for each row, as `unpack` takes them.

    Args:
      size: bytes of a row.
      names: int32 [rows], what names a row in the global batch.

    Returns:
      uint64 [rows, size / 8, rounded up].
    """
    counts = -(-size // BYTES)
    return self.bits(names[:, None], tf.range(counts)[None, :])

  def dropout(
    self, x: tf.Tensor, rate: float, *, names: tf.Tensor | None = None
  ) -> tf.Tensor:
    """Zeroes elements of `x` with probability `rate`, rescales the others.

    Args:
      x: float [rows, ...].
      rate: share of elements to zero, in [0, 1).
      names: int32 [rows], what names a row in the global batch; the rows of a
        replica in their order, where it is not given.
    """
    if not dropped_bytes(rate):
      return x
    rows = x.shape[0]
    if names is None:
      names = self._first_row + tf.range(rows)
    bits = self.row_bits(x.shape.num_elements() // rows, names=names)

    @tf.custom_gradient
    def dropped(x):
      return drop(x, bits, rate), lambda upstream: drop(upstream, bits, rate)

    return dropped(x)


def dropped_bytes(rate: float) -> int:
  """Of 256 values of a byte, how many drop an element.

  One random byte decides about one element, so the rate is rounded to the next
  1/256; the scale is exact for the rounded rate.
  """
  return round(rate * 256)


def keep_factor(bits: tf.Tensor, rate: float) -> tf.Tensor:
  """From random bits to the factors of dropout: 0, or 1 / (1 - rate).

  Args:
    bits: uint64 [rows, counts, ...], `BYTES` bytes an element.
    rate: share of factors that are 0.

  Returns:
    float32 [rows, 8 * counts, ...]: byte b of element c is at b * counts + c,
    so that a loop over the last axes reads and writes in order.
  """
  dropped = dropped_bytes(rate)
  shifts = tf.constant(
    [8 * b for b in range(BYTES)],
    tf.uint64,
    [1, BYTES] + [1] * (bits.shape.rank - 1),
  )
  byte = tf.bitwise.right_shift(bits[:, None], shifts)
  byte = tf.cast(byte, tf.uint32) & 255
  factor = tf.where(byte >= dropped, 256 / (256 - dropped), 0.0)
  rows, counts, *rest = bits.shape
  return tf.reshape(factor, [rows, BYTES * counts, *rest])


@fused
def drop(x: tf.Tensor, bits: tf.Tensor, rate: float) -> tf.Tensor:
  """Multiplies `x` with the factors that `bits` give; in float32."""
  rows = x.shape[0]
  flat = tf.reshape(tf.cast(x, tf.float32), [rows, -1])
  kept = flat * keep_factor(bits, rate)[:, : flat.shape[1]]
  return tf.cast(tf.reshape(kept, x.shape), x.dtype)


def _bits(key, first, second):
  """Threefry of counters; uint64."""
  shape = tf.broadcast_dynamic_shape(tf.shape(first), tf.shape(second))
  counter = (
    tf.broadcast_to(tf.cast(x, tf.uint32), shape) for x in (first, second)
  )
  low, high = (
    tf.cast(x, tf.uint64) for x in _threefry(tf.unstack(key), tuple(counter))
  )
  # One output: of two, each would compute all rounds.
  return low | tf.bitwise.left_shift(high, tf.constant(32, tf.uint64))


# Traced once for all shapes; each is compiled on its own, and static there.
_bits = fused(
  _bits,
  [
    tf.TensorSpec([2], tf.uint32),
    tf.TensorSpec(None, tf.int32),
    tf.TensorSpec(None, tf.int32),
  ],
)


@fused
def _child_key(key, site):
  return tf.stack(_threefry(tf.unstack(key), (site, tf.zeros_like(site))))


def _threefry(key, counter):
  """Threefry-2x32 of uint32 pairs."""
  keys = (*key, key[0] ^ key[1] ^ _PARITY)
  x, y = counter[0] + keys[0], counter[1] + keys[1]
  for i in range(_ROUNDS // 4):
    for distance in _ROTATIONS[i % 2]:
      x += y
      y = _rotated(y, distance) ^ x
    x += keys[(i + 1) % 3]
    y += keys[(i + 2) % 3] + tf.constant(i + 1, tf.uint32)
  return x, y


def _rotated(x, distance):
  left = tf.bitwise.left_shift(x, tf.constant(distance, tf.uint32))
  return left | tf.bitwise.right_shift(x, tf.constant(32 - distance, tf.uint32))

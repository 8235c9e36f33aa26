"""Which examples are in global batch k: a pure function of (seed, k).

No iterator state exists, so none is saved. Positions 0, 1, 2, ... run through
the epochs without a seam: batch k holds positions k * size to (k + 1) * size,
and epoch e is positions e * n to (e + 1) * n, in an order of its own. Each
example thus appears once in each epoch, and only the last batch of a run can
be short.

Up to 2^24 examples an epoch's order is sorted once. Above, a cipher computes
each index alone, so that nothing is kept and the first batch is there at once.
"""

import functools
import math

import numpy as np

from engine.errors import UserError

KINDS = SORT, CIPHER = "sort", "cipher"  # Which `data.json` names.
_SORTED = 2**24  # Examples; the order of each run that there was before it.
_MOST = 2**62  # Examples that 64 bits can count.
_ROUNDS = 8


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
  """Returns an order of `size` examples, int64 [size].

  It sorts raw Philox words. NumPy keeps the streams of its bit generators
  fixed for good (NEP 19), but not those of `Generator.permutation`.
  """
  words = np.random.Philox(key=[seed, epoch]).random_raw(size)
  return np.argsort(words, kind="stable")


def ciphered(
  position: np.ndarray, seed: int, epoch: int, size: int
) -> np.ndarray:
  """Returns some indices of an order of `size` examples, in constant memory.

  A position is two digits of a base whose square is just above `size`; each
  round adds a keyed hash of one digit to the other (a Feistel network). What
  comes out above `size` goes through again until it does not: that is a
  bijection still (Black and Rogaway, Ciphers with Arbitrary Finite Domains,
  CT-RSA 2002, methods 2 and 3). The hash is the mixer of SplitMix64 (Steele,
  Lea and Flood, OOPSLA 2014), its keys are Philox words of seed and epoch.

  Args:
    position: int64 [n], each from 0 to below `size`.
    seed: of the run.
    epoch: of the positions.
    size: examples in the split.

  Returns:
    int64 [n], from 0 to below `size`.
  """
  keys = np.random.Philox(key=[seed, epoch]).random_raw(_ROUNDS)
  base = np.uint64(math.isqrt(size - 1) + 1)
  found = _encipher(position.astype(np.uint64), base, keys)
  while (outside := np.flatnonzero(found >= size)).size:
    found[outside] = _encipher(found[outside], base, keys)
  return found.astype(np.int64)


def _encipher(x: np.ndarray, base: np.uint64, keys: np.ndarray) -> np.ndarray:
  high, low = np.divmod(x, base)
  for key in keys:
    high, low = low, (high + _mixed(low + key) % base) % base
  return high * base + low


def _mixed(x: np.ndarray) -> np.ndarray:
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))


def kind_of(num_examples: int) -> str:
  """Returns how a new run finds the order of so many examples."""
  return SORT if num_examples <= _SORTED else CIPHER


class Order:
  """The batches of a run.

  Attributes:
    kind: how the order of an epoch is found: "given" (as the split has it),
      "sort" or "cipher".
  """

  def __init__(
    self,
    *,
    num_examples: int,
    batch_size: int,
    num_positions: int,
    seed: int | None,
    kind: str = "",
  ):
    """Initializes the order.

    Args:
      num_examples: examples in the split.
      batch_size: examples in a full global batch.
      num_positions: where the run ends: epochs * num_examples.
      seed: the seed of the run, or None to keep the order of the split.
      kind: one of `KINDS`, if the run has one; else that of a new run.

    Raises:
      UserError: where there are more examples than can be counted.
    """
    if num_examples > _MOST:
      raise UserError(
        f"A split of {num_examples} examples is larger than an order can count "
        f"({_MOST}): train on a part of it."
      )
    self._num_examples = num_examples
    self._batch_size = batch_size
    self._num_positions = num_positions
    self._seed = seed
    self.kind = kind or kind_of(num_examples)
    if seed is None:
      self.kind = "given"
    # An epoch's permutation is made when the first of its batches is asked
    # for; what step k costs therefore does not depend on k.
    self._permutation = functools.lru_cache(maxsize=2)(permutation)

  @property
  def num_batches(self) -> int:
    """Batches in the run, the short last one included."""
    return -(-self._num_positions // self._batch_size)

  def indices(self, step: int) -> np.ndarray:
    """Returns the examples of batch `step`: int64 [at most batch_size].

    It is empty where `step` lies behind the end.
    """
    first = step * self._batch_size
    last = min(first + self._batch_size, self._num_positions)
    position = np.arange(first, max(first, last), dtype=np.int64)
    epoch, place = np.divmod(position, self._num_examples)
    return np.concatenate(
      [self._at(place[epoch == e], int(e)) for e in np.unique(epoch)]
      or [position]
    )

  def _at(self, place: np.ndarray, epoch: int) -> np.ndarray:
    """The examples at some places of an epoch."""
    if self._seed is None:
      return place
    if self.kind == CIPHER:
      return ciphered(place, self._seed, epoch, self._num_examples)
    return self._permutation(self._seed, epoch, self._num_examples)[place]

"""Which examples are in global batch k: a pure function of (seed, k).

No iterator state exists, so none is saved. Positions 0, 1, 2, ... run through
the epochs without a seam: batch k holds positions k * size to (k + 1) * size,
and epoch e is positions e * n to (e + 1) * n, in an order of its own. Each
example thus appears once in each epoch, and only the last batch of a run can
be short.
"""

import functools

import numpy as np


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
  """Returns an order of `size` examples, int64 [size].

  It sorts raw Philox words. NumPy keeps the streams of its bit generators
  fixed for good (NEP 19), but not those of `Generator.permutation`.
  """
  words = np.random.Philox(key=[seed, epoch]).random_raw(size)
  return np.argsort(words, kind="stable")


class Order:
  """The batches of a run."""

  def __init__(
    self,
    *,
    num_examples: int,
    batch_size: int,
    num_positions: int,
    seed: int | None,
  ):
    """Initializes the order.

    Args:
      num_examples: examples in the split.
      batch_size: examples in a full global batch.
      num_positions: where the run ends: epochs * num_examples.
      seed: the seed of the run, or None to keep the order of the split.
    """
    self._num_examples = num_examples
    self._batch_size = batch_size
    self._num_positions = num_positions
    self._seed = seed
    # An epoch's permutation is made when the first of its batches is asked
    # for; what step k costs therefore does not depend on k.
    self._permutation = functools.lru_cache(maxsize=2)(self._epoch_order)

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
      [self._permutation(int(e))[place[epoch == e]] for e in np.unique(epoch)]
      or [position]
    )

  def _epoch_order(self, epoch: int) -> np.ndarray:
    if self._seed is None:
      return np.arange(self._num_examples, dtype=np.int64)
    return permutation(self._seed, epoch, self._num_examples)

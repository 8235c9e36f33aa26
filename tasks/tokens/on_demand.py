"""Pairs that stay on disk, tokenised when a batch has them."""

import threading
from collections.abc import Callable

import numpy as np

from tasks.data.pairs import Pairs
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.tokens.encoded import EncodedPairs

_SAMPLE = 2**13  # Pairs whose lengths stand for those of all.
_KEPT = 2**14  # Encoded pairs in memory.


class EncodedOnDemand:
  """As `tasks.tokens.encoded.EncodedPairs`, of pairs on disk.

  Attributes:
    sample: lengths of the pairs that stand for all, int32 [sampled pairs].
    longest: tokens that a pair can have.
    truncated: how many of the sample were cut to the maximal length.
  """

  def __init__(
    self,
    pairs: PairsOnDisk,
    encode: Callable[[Pairs], EncodedPairs],
    max_length: int,
  ):
    """Encodes a sample, the same in each process.

    Args:
      pairs: to be encoded.
      encode: does so.
      max_length: tokens of a pair, at most.
    """
    self._pairs, self._encode = pairs, encode
    self._lengths = np.zeros(len(pairs), np.int32)
    self._kept: dict[int, tuple[np.ndarray, int]] = {}
    self._mutex = threading.RLock()  # Batches are made in a thread beside.
    sample = np.arange(len(pairs))
    if len(pairs) > _SAMPLE:
      words = np.random.Philox(key=[0, 0]).random_raw(_SAMPLE)
      sample = np.unique(words % np.uint64(len(pairs))).astype(np.int64)
    self.truncated = self._keep(sample)
    self.sample = self._lengths[sample]
    whole = len(sample) == len(pairs)
    self.longest = int(self.sample.max()) if whole else max_length

  def __len__(self) -> int:
    return len(self._pairs)

  def lengths_at(self, indices: np.ndarray) -> np.ndarray:
    """Returns the tokens of some pairs, int64 [n]."""
    with self._mutex:
      self._keep(indices[self._lengths[indices] == 0])
      return self._lengths[indices].astype(np.int64)

  def pick(self, indices: np.ndarray) -> EncodedPairs:
    """Returns some pairs."""
    with self._mutex:
      if any(int(i) not in self._kept for i in indices):
        self._keep(indices)
      found = [self._kept[int(i)] for i in indices]
    return EncodedPairs(
      ids=np.concatenate([np.zeros(0, np.int32), *(ids for ids, _ in found)]),
      starts=np.concatenate([[0], np.cumsum(self._lengths[indices])]),
      first=np.array([first for _, first in found], np.int32),
      truncated=0,
    )

  def digest(self) -> int:
    """32 bits of all sentences."""
    return self._pairs.digest

  def _keep(self, indices: np.ndarray) -> int:
    """Encodes pairs; returns how many were cut."""
    if not len(indices):
      return 0
    encoded = self._encode(self._pairs.read(indices))
    if len(self._kept) + len(indices) > _KEPT:
      self._kept.clear()
    for k, i in enumerate(map(int, indices)):
      start, end = encoded.starts[k : k + 2]
      self._kept[i] = encoded.ids[start:end], int(encoded.first[k])
      self._lengths[i] = end - start
    return encoded.truncated

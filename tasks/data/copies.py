"""Pairs of other splits that were trained on."""

from typing import Any

import numpy as np
from absl import logging

from tasks.data.pairs_on_disk import PairsOnDisk

_MOST = 2**15  # Pairs on disk that are read again to be sure.


class Copies:
  """What is in the training split, to be looked for in others.

  Texts are not kept in records, nor tokens for pairs on disk: two splits are
  compared by what both have.
  """

  def __init__(self, found: Any, encoded: Any):
    """Remembers the training split.

    Args:
      found: `Pairs`, `PairsOnDisk` or `Records`.
      encoded: `EncodedPairs`, or `EncodedOnDemand`.
    """
    self._trained_on = _digests(found, encoded)
    self._told: set[str] = set()

  def tell(self, split: str, found: Any, encoded: Any) -> None:
    """Says, once, how many pairs of a split were trained on."""
    if split in self._told:
      return
    self._told.add(split)
    digests = _digests(found, encoded)
    both = [kind for kind in digests if kind in self._trained_on]
    if not both:
      return
    copies, all_seen = count(digests[both[0]], self._trained_on[both[0]])
    if copies:
      logging.warning(
        "%s%d of the %d pairs of %r are in 'train' too: metrics will flatter.",
        *("" if all_seen else "at least ", copies, len(encoded), split),
      )


def count(
  ours: np.ndarray | PairsOnDisk, theirs: np.ndarray | PairsOnDisk
) -> tuple[int, bool]:
  """Counts which of some pairs are among many others.

  Args:
    ours: digests, or pairs on disk: of these some bits of a digest are known,
      so that those which may be copies are read.
    theirs: the same.

  Returns:
    How many, and whether all were looked at that may be.
  """
  mine, others = _known(ours), _known(theirs)
  bits = [x.bits for x in (ours, theirs) if isinstance(x, PairsOnDisk)]
  if bits:
    mask = np.uint64(2 ** min(bits) - 1)
    mine, others = mine & mask, others & mask
  there = np.flatnonzero(_among(others, mine))
  here = np.flatnonzero(_among(mine, others[there]))
  if not bits:
    return len(here), True
  whole = _whole(ours, here[:_MOST]), _whole(theirs, there[:_MOST])
  all_seen = max(len(here), len(there)) <= _MOST
  return int(np.count_nonzero(_among(*whole))), all_seen


def _among(some: np.ndarray, others: np.ndarray) -> np.ndarray:
  """Which of some digests are among others, which are sorted: bool [some]."""
  known = np.unique(others)
  if not len(known):
    return np.zeros(len(some), bool)
  return known.take(np.searchsorted(known, some), mode="clip") == some


def _known(pairs: np.ndarray | PairsOnDisk) -> np.ndarray:
  return pairs.digests if isinstance(pairs, PairsOnDisk) else pairs


def _whole(pairs: np.ndarray | PairsOnDisk, chosen: np.ndarray) -> np.ndarray:
  """Returns the whole digests of some pairs."""
  if not isinstance(pairs, PairsOnDisk):
    return pairs[chosen]
  return pairs.read(chosen).digests if len(chosen) else chosen.astype("u8")


def _digests(found: Any, encoded: Any) -> dict[str, np.ndarray | PairsOnDisk]:
  return {
    kind: holder if isinstance(holder, PairsOnDisk) else holder.digests
    for kind, holder in (("tokens", encoded), ("texts", found))
    if hasattr(holder, "digests")
  }

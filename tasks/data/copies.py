"""Pairs of other splits that were trained on."""

from typing import Any

import numpy as np
from absl import logging


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
    copies = count(digests[both[0]], self._trained_on[both[0]])
    if copies:
      logging.warning(
        "%d of the %d pairs of %r are in 'train' too: metrics will flatter.",
        copies,
        len(encoded),
        split,
      )


def count(ours: np.ndarray, theirs: np.ndarray) -> int:
  """Counts which of some digests are among many others."""
  # Many times as fast as `np.isin(ours, theirs)`, which sorts the many.
  known = np.unique(ours)
  places = np.searchsorted(known, theirs)
  found = known.take(places, mode="clip") == theirs
  return int(np.isin(ours, theirs[found]).sum())


def _digests(found: Any, encoded: Any) -> dict[str, np.ndarray]:
  return {
    kind: holder.digests
    for kind, holder in (("tokens", encoded), ("texts", found))
    if hasattr(holder, "digests")
  }

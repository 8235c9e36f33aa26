"""Pairs that flatter a metric: trained on, there twice, contradictory.

Texts are not kept in records, nor tokens of pairs on disk: two splits are
compared by what both have.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from tasks.data.left_out import numbered
from tasks.data.sentences import Sentences

_BLOCK = 2**20  # Sentences that are looked up at once.

# Name -> what is to be said of such pairs, behind their number.
_TOLD = {
  "in_train": "are in 'train' too: metrics will flatter",
  "shares_a_sentence": "share a sentence with 'train'",
  "there_twice": "are there more than once",
  "contradicts": "have another label than an equal pair before them",
}


class Leaks:
  """What is in the training split, to be looked for in others."""

  def __init__(self, found: Any, encoded: Any):
    """Remembers the training split, and says what it repeats.

    Args:
      found: `Pairs`, `PairsOnDisk` or `Records`.
      encoded: `EncodedPairs`, or `EncodedOnDemand`.
    """
    self._kinds = _kinds(found, encoded)
    self._ids = found.ids
    self._told = {"train"}
    kind = next(iter(self._kinds))
    _tell("train", repeats(self._kinds[kind], found.labels), found.ids)

  def find(
    self, split: str, found: Any, encoded: Any
  ) -> dict[str, tuple[np.ndarray, Sequence[Any]]]:
    """Finds what flatters the metrics of a split, and says so, once.

    Args:
      split: its name.
      found: its pairs, as above.
      encoded: likewise.

    Returns:
      As `engine.source.Source.marks`.
    """
    kinds = _kinds(found, encoded)
    both = [kind for kind in kinds if kind in self._kinds]
    kind = (both or [*kinds])[0]
    ours = kinds[kind]
    marks: dict[str, tuple[np.ndarray, Sequence[Any]]] = {}
    if both:
      for name, (places, others) in common(ours, self._kinds[kind]).items():
        marks[name] = places, [f"train {self._ids[i]}" for i in others]
    for name, (places, others) in repeats(ours, found.labels).items():
      marks[name] = places, [f"{split} {found.ids[i]}" for i in others]
    if split not in self._told:
      self._told.add(split)
      _tell(split, marks, found.ids)
    return marks


def _kinds(found: Any, encoded: Any) -> dict[str, Sentences]:
  """Returns what two splits can be compared by, texts before tokens."""
  return {
    kind: holder.sentences
    for kind, holder in (("texts", found), ("tokens", encoded))
    if hasattr(holder, "sentences")
  }


def _tell(split: str, marks: Mapping[str, Any], ids: Any) -> None:
  """Says in one line of each kind how many pairs of a split are of it."""
  for name, (places, _) in marks.items():
    if len(places):
      rows = numbered([ids[i] for i in places[:6]])
      logging.warning(
        "%s of the %s pairs of %r %s (%s).",
        *(f"{len(places):,}", f"{len(ids):,}", split, _TOLD[name], rows),
      )


def common(
  ours: Sentences, theirs: Sentences
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns which of our pairs others have too, whole or a sentence of them.

  Args:
    ours: of a split.
    theirs: of another one; it may be of any size.

  Returns:
    Name -> places of ours, int64 [found], and of theirs that are like them.
  """
  equal = partners(ours.pairs(), theirs.pairs())
  found = {"in_train": _there(equal)}
  if ours.second is not None and theirs.second is not None:
    number = len(theirs.first)
    first, second = (partners(x, theirs.all) for x in (ours.first, ours.second))
    shared = np.where(first >= 0, first, second)
    found["shares_a_sentence"] = _there(
      np.where(shared >= 0, shared % number, -1)
    )
  return found


def _there(partner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  places = np.flatnonzero(partner >= 0)
  return places, partner[places]


def partners(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
  """Returns for each of ours the first of theirs that equals it, or -1."""
  # Many times as fast as sorting theirs, which may be many.
  known = np.unique(ours)
  place = np.full(len(known), -1, np.int64)
  if not len(known):
    return place
  for start in reversed(range(0, len(theirs), _BLOCK)):
    block = theirs[start : start + _BLOCK]
    at = np.searchsorted(known, block)
    hits = np.flatnonzero(known.take(at, mode="clip") == block)[::-1]
    place[at[hits]] = start + hits  # Of several the last one written stays.
  return place[np.searchsorted(known, ours)]


def repeats(
  ours: Sentences, labels: Any
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns which pairs were there before, and which of them contradict it.

  Two orders of a pair are one pair; but a label may depend on the order, so
  only pairs in the same order contradict each other.

  Args:
    ours: of a split.
    labels: of its pairs; None: they are not known.

  Returns:
    As `common`, with the places of the first of the equal pairs.
  """
  found = {"there_twice": _again(ours.pairs())}
  if labels is not None:
    later, before = _again(ours.pairs(ordered=True))
    values = np.asarray(labels)
    apart = values[later] != values[before]
    found["contradicts"] = later[apart], before[apart]
  return found


def _again(digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the places of what was there before, and of its first."""
  order = np.argsort(digests, kind="stable")
  ordered = digests[order]
  begins = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
  firsts = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
  later, before = order[~begins], firsts[~begins]
  in_order = np.argsort(later)
  return later[in_order], before[in_order]

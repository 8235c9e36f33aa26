"""Which pairs of a training file are held out to be evaluated on.

A function of the pairs in their order and of the share alone: no seed of a run
changes it, so that runs of several seeds are evaluated on the same pairs.
"""

import numpy as np

from engine.errors import UserError

_LEAST = 20  # Different pairs: fewer tell nothing of a model.
_BINS = 10  # Of scores, which have no classes.


def held_out(
  pairs: np.ndarray, labels: np.ndarray, share: float, *, scores: bool = False
) -> np.ndarray:
  """Returns which pairs are held out: bool [pairs].

  Of each class, or of each tenth of the scores, there is the same share, to
  within a pair; copies of a pair are on one side, with the class of the first.

  Args:
    pairs: a digest of each, as `Sentences.pairs` gives it.
    labels: of them, classes or scores.
    share: of them all that is held out, below 1.
    scores: whether labels are scores.

  Raises:
    UserError: where there are too few.
  """
  _, first, group, sizes = np.unique(
    pairs, return_index=True, return_inverse=True, return_counts=True
  )
  held = np.zeros(len(first), bool)
  if len(first) >= _LEAST:
    words = np.random.Philox(key=[0, 3]).random_raw(len(pairs))[first]
    seen = taken = 0
    for members in _strata(labels[first], scores):
      drawn = members[np.argsort(words[members], kind="stable")]
      sums = np.cumsum(sizes[drawn])
      seen += int(sums[-1])
      # What rounding, or copies, left out of the classes before is made up.
      some = sums <= round(share * seen - taken)
      some[-1] = False  # One is left to learn from.
      held[drawn[some]] = True
      taken += int(sizes[drawn[some]].sum())
  if not held.any():
    cure = "a larger --eval_fraction"
    if len(first) < _LEAST:
      cure = f"train on {_LEAST} pairs or more"
    raise UserError(
      f"`train_file` has {len(first):,} different pairs, too few to hold out "
      f"{share:g} of them for evaluation: name --eval_file=..., or "
      f"{cure}."
    )
  return held[group.reshape(-1)]


def _strata(labels: np.ndarray, scores: bool) -> list[np.ndarray]:
  """Returns the places of each class, or of pairs of similar scores."""
  in_order = np.argsort(labels, kind="stable")
  if scores:
    return np.array_split(in_order, min(_BINS, len(in_order)))
  ordered = labels[in_order]
  return np.split(in_order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)

"""What each pair weighs in training: its own weight times that of its class."""

from collections.abc import Sequence

import numpy as np
from absl import logging

from engine.errors import UserError, listed, quoted
from engine.settings import check
from tasks.data.cells import HEAVIEST


def weights_of(
  labels: np.ndarray,
  own: Sequence[float] | np.ndarray | None,
  *,
  names: Sequence[str],
  given: Sequence[str],
  ids: Sequence[int | str] | np.ndarray,
) -> np.ndarray | None:
  """Returns what pairs weigh, float64 [pairs]; None: all the same.

  Args:
    labels: int [pairs] of classes, or scores.
    own: weight of each pair, where they differ.
    names: of the classes; none for scores.
    given: weights of the classes as a user gives them; none: all the same.
    ids: of the pairs, for complaints.

  Raises:
    UserError: where a weight cannot be, or what is left teaches nothing.
  """
  if own is None and not given:
    return None
  weights = np.ones(len(labels)) if own is None else np.asarray(own, np.float64)
  if given:
    weights = weights * _of_classes(labels, names, given)[labels]
  bad = np.flatnonzero(~((weights >= 0) & (weights <= HEAVIEST)))
  if len(bad):
    raise UserError(
      f"The pair {ids[bad[0]]} of 'train' weighs {weights[bad[0]]:g}, and "
      f"{len(bad) - 1:,} others are like it: weights are numbers from 0 to "
      f"{HEAVIEST:g}."
    )
  _look_at(labels, weights, names)
  return weights


def _of_classes(
  labels: np.ndarray, names: Sequence[str], given: Sequence[str]
) -> np.ndarray:
  """Weight of each class, float64 [classes]."""
  balanced = tuple(given) == ("balanced",)
  check(
    balanced or len(given) == len(names),
    "class_weights",
    ",".join(given),
    f"a weight for each of the {len(names)} classes {listed(names)}",
  )
  if not balanced:
    return np.array([float(x) for x in given])
  counts = np.bincount(labels, minlength=len(names))
  return len(labels) / (len(names) * np.maximum(counts, 1))


def _look_at(
  labels: np.ndarray, weights: np.ndarray, names: Sequence[str]
) -> None:
  """Says how many pairs weigh nothing; refuses what teaches nothing."""
  heavy = weights.astype(np.float32) > 0
  if heavy.all():
    return
  cure = "mend --weight and --class_weights, or leave them out"
  if not heavy.any():
    raise UserError(
      f"All {len(heavy):,} pairs of 'train' weigh 0: there is nothing to "
      f"learn, {cure}."
    )
  told = ""
  if names:
    there, left = (
      np.bincount(x, minlength=len(names)) > 0 for x in (labels, labels[heavy])
    )
    if np.count_nonzero(left) < 2:
      only = quoted(names[int(left.argmax())])
      raise UserError(
        f"All pairs of 'train' that weigh more than 0 are {only}: there is "
        f"nothing to learn, {cure}."
      )
    lost = [name for name, x in zip(names, there & ~left, strict=True) if x]
    told = f", among them all of {listed(lost)}" if lost else ""
  logging.warning(
    "%d of %d pairs of 'train' weigh 0 and teach nothing%s.",
    *(np.count_nonzero(~heavy), len(heavy), told),
  )

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
    counts = np.bincount(labels, minlength=len(names))
    weights = weights * of_classes(counts, names, given)[labels]
  bad = np.flatnonzero(~((weights >= 0) & (weights <= HEAVIEST)))
  if len(bad):
    raise UserError(
      f"The pair {ids[bad[0]]} of 'train' weighs {weights[bad[0]]:g}, and "
      f"{len(bad) - 1:,} others are like it: weights are numbers from 0 to "
      f"{HEAVIEST:g}."
    )
  heavy = weights.astype(np.float32) > 0
  groups = labels if names else np.zeros(len(labels), int)
  count = lambda x: np.bincount(x, minlength=len(names) or 1)
  check_counts(count(groups), count(groups[heavy]), names)
  return weights


def of_classes(
  counts: np.ndarray, names: Sequence[str], given: Sequence[str]
) -> np.ndarray:
  """Returns the weight of each class, float64 [classes].

  Args:
    counts: int [classes], pairs of each.
    names: of the classes.
    given: as `weights_of` takes it.

  Raises:
    UserError: where `given` is not of these classes.
  """
  balanced = tuple(given) == ("balanced",)
  check(
    balanced or len(given) == len(names),
    "class_weights",
    ",".join(given),
    f"a weight for each of the {len(names)} classes {listed(names)}",
  )
  if not balanced:
    return np.array([float(x) for x in given])
  return counts.sum() / (len(names) * np.maximum(counts, 1))


def check_heaviest(own: float, of_class: np.ndarray | None) -> None:
  """Raises `UserError` where weights go beyond what a pair can weigh.

  Args:
    own: the largest of the pairs.
    of_class: of each class; None: 1.
  """
  most = own * (1.0 if of_class is None else float(of_class.max()))
  if not most <= HEAVIEST or (of_class is not None and (of_class < 0).any()):
    raise UserError(
      f"Pairs of 'train' weigh up to {most:g}, by their own weights and those "
      f"of classes: weights are numbers from 0 to {HEAVIEST:g}."
    )


def check_counts(
  counts: np.ndarray, heavy: np.ndarray, names: Sequence[str]
) -> None:
  """Says how many pairs weigh nothing; refuses what teaches nothing.

  Args:
    counts: int [classes, or 1], pairs of each class.
    heavy: of these, the ones that weigh more than 0.
    names: of the classes; none for scores.

  Raises:
    UserError: where pairs of less than two classes are left.
  """
  total, light = int(counts.sum()), int((counts - heavy).sum())
  if not light:
    return
  cure = "mend --weight and --class_weights, or leave them out"
  if light == total:
    raise UserError(
      f"All {total:,} pairs of 'train' weigh 0: there is nothing to "
      f"learn, {cure}."
    )
  told = ""
  if names:
    there, left = counts > 0, heavy > 0
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
    *(light, total, told),
  )

"""Metrics as functions of their examples: what resampling needs to know.

Which metrics of a split there are follows from what was kept of its examples:
classes from logits [examples, classes] and whole labels, scores from outputs
[examples, 1]. So all of this wing is a pure function of `examples/SPLIT.npz`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Metrics of which less is better.
FALLING = ("loss", "mse", "brier", "nll", "ece")
_CLOSE = 1e-5  # Between a metric and what it is computed again as.


@dataclasses.dataclass(frozen=True)
class Statistic:
  """A metric that is a function of means over examples.

  Attributes:
    values: of each example, float64 [examples, k].
    of: means [..., k] -> the metric [...].
    ranked: whether the values are replaced by their ranks, among the examples
      that are drawn, before they are multiplied and averaged: [x, y].
    is_share: whether it is a mean of zeros and ones.
  """

  values: np.ndarray
  of: Callable[[np.ndarray], np.ndarray]
  ranked: bool = False
  is_share: bool = False

  @property
  def averaged(self) -> np.ndarray:
    """Values whose means make the metric, [examples, k]; of ranks, of all."""
    if not self.ranked:
      return self.values
    return moments(*(mid_ranks(x) / len(x) for x in self.values.T))

  def value(self) -> float:
    """Returns the metric of all examples."""
    return float(self.of(self.averaged.mean(0)))

  def of_some(self, chosen: np.ndarray) -> "Statistic":
    """Returns the metric of some examples, by their indices or a mask."""
    return dataclasses.replace(self, values=self.values[chosen])


# Name of a metric, and what builds it; of several of one name the first that is
# what was reported.
Candidates = list[tuple[str, Callable[[], Statistic]]]


def are_scores(table: Mapping[str, Any]) -> bool:
  """Whether there is one number for each example: a task may do otherwise.

  Args:
    table: `labels` and, if they are of one array, `outputs` [examples, ...].
  """
  outputs, labels = table.get("outputs"), table["labels"]
  return (
    isinstance(outputs, np.ndarray)
    and labels.ndim == 1
    and outputs.shape == (len(labels), 1)
  )


def are_classes(table: Mapping[str, Any]) -> bool:
  """Whether there are logits of classes for each example."""
  outputs, labels = table.get("outputs"), table["labels"]
  return (
    isinstance(outputs, np.ndarray)
    and outputs.ndim == 2
    and outputs.shape[1] > 1
    and labels.ndim == 1
    and labels.dtype.kind in "iu"
    and len(labels) == len(outputs) > 0
    and 0 <= labels.min() <= labels.max() < outputs.shape[1]
  )


def statistics_of(
  table: Mapping[str, Any], reported: Mapping[str, Any]
) -> dict[str, Statistic]:
  """Returns the metrics that can be computed again from what was kept.

  A metric of one of these names that comes out otherwise than it was reported
  is another metric, and not among them.

  Args:
    table: `labels`, `outputs` and `losses` of each example.
    reported: metric -> value, as the evaluation has them.
  """
  losses = np.asarray(table["losses"], np.float64)
  candidates: Candidates = []
  if losses.ndim == 1:
    candidates.append(("loss", lambda: mean_of(losses)))
  if are_classes(table):
    candidates += _of_classes(table["labels"], table["outputs"].argmax(-1))
  elif are_scores(table):
    labels = np.asarray(table["labels"], np.float64).reshape(-1)
    scores = np.asarray(table["outputs"], np.float64).reshape(-1)
    candidates += _of_scores(labels, scores)
  found: dict[str, Statistic] = {}
  for name, build in candidates:
    value = reported.get(name)
    if name in found or not isinstance(value, float):
      continue
    statistic = build()
    if abs(statistic.value() - value) <= _CLOSE * max(1.0, abs(value)):
      found[name] = statistic
  return found


def mean_of(values: np.ndarray, *, is_share: bool = False) -> Statistic:
  """Returns the metric that is the mean of a number of each example."""
  values = np.asarray(values, np.float64)[:, None]
  return Statistic(values, lambda means: means[..., 0], is_share=is_share)


def _of_classes(labels: np.ndarray, called: np.ndarray) -> Candidates:
  """Accuracy, Matthews' correlation, and F1 of each class or of all."""
  number = int(max(labels.max(), called.max())) + 1
  is_label = labels[:, None] == np.arange(number)
  is_called = called[:, None] == np.arange(number)
  right = labels == called

  def f1(classes: slice) -> Statistic:
    ours, theirs = is_label[:, classes], is_called[:, classes]
    return Statistic(_beside(ours & theirs, ours, theirs), _macro_f1)

  # Of two classes the second is more often the positive one.
  each = [slice(k, k + 1) for k in (1, 0) if k < number <= 2]
  return [
    ("accuracy", lambda: mean_of(right, is_share=True)),
    *(("f1", functools.partial(f1, one)) for one in each),
    ("f1", lambda: f1(slice(None))),
    (
      "mcc",
      lambda: Statistic(
        _beside(right[:, None], is_label, is_called), _matthews
      ),
    ),
  ]


def _beside(*arrays: np.ndarray) -> np.ndarray:
  return np.concatenate(arrays, -1).astype(np.float64)


def _macro_f1(means: np.ndarray) -> np.ndarray:
  """Mean F1 of classes; one that is neither label nor called is none of them.

  Args:
    means: [..., 3 * classes]: both, label, called.
  """
  both, label, called = np.split(means, 3, axis=-1)
  there = label + called > 0
  scores = 2 * both / np.where(there, label + called, 1.0)
  return scores.sum(-1) / np.maximum(there.sum(-1), 1)


def _matthews(means: np.ndarray) -> np.ndarray:
  """Matthews' correlation of any number of classes (Gorodkin, 2004).

  Args:
    means: [..., 1 + 2 * classes]: right, label, called.
  """
  right = means[..., 0]
  label, called = np.split(means[..., 1:], 2, axis=-1)
  above = right - (label * called).sum(-1)
  below = (1 - np.square(label).sum(-1)) * (1 - np.square(called).sum(-1))
  fine = below > 1e-15
  return np.where(fine, above / np.sqrt(np.where(fine, below, 1.0)), 0.0)


def _of_scores(labels: np.ndarray, scores: np.ndarray) -> Candidates:
  """Squared error, and the correlations where they are defined."""
  squares = np.square(scores - labels)
  if len(labels) < 2 or not np.ptp(labels) or not np.ptp(scores):
    return [("mse", lambda: mean_of(squares))]
  x, y = ((v - v.mean()) / v.std() for v in (labels, scores))
  both = np.stack([x, y], -1)
  return [
    ("mse", lambda: mean_of(squares)),
    ("pearson", lambda: Statistic(moments(x, y), correlation)),
    ("spearman", lambda: Statistic(both, correlation, ranked=True)),
  ]


def moments(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Returns x, y, and their products [..., 5], of arrays [...]."""
  return np.stack([x, y, x * x, y * y, x * y], -1)


def correlation(means: np.ndarray) -> np.ndarray:
  """Correlation of means of `moments` [..., 5]; 0 where it is undefined."""
  x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
  below = np.maximum(xx - x * x, 0) * np.maximum(yy - y * y, 0)
  fine = below > 1e-24
  return np.where(fine, (xy - x * y) / np.sqrt(np.where(fine, below, 1.0)), 0.0)


def mid_ranks(
  values: np.ndarray, counts: np.ndarray | None = None
) -> np.ndarray:
  """Ranks of values of which each occurs some times; equal ones share theirs.

  Args:
    values: [examples].
    counts: [draws, examples], how often each occurs in a draw; None: once.

  Returns:
    float64 [examples], or [draws, examples].
  """
  counted = np.ones((1, len(values))) if counts is None else counts
  _, inverse = np.unique(values, return_inverse=True)
  order = np.argsort(inverse, kind="stable")
  starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))
  groups = np.add.reduceat(counted[:, order], starts, axis=1)
  ends = np.cumsum(groups, axis=1, dtype=np.float64)
  ranks = (ends - (groups - 1) / 2)[:, inverse]
  return ranks[0] if counts is None else ranks

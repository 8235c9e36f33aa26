"""What a page says of an evaluated split: charts and tables of its examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from launch.pages import markup
from launch.pages.charts import Line, line_chart

_BINS = 10  # Of a calibration.
_LENGTHS = 5  # Groups of examples by length.
_MISTAKES = 20  # That are shown of a split.


def charts(table: Mapping[str, np.ndarray]) -> Iterator[str]:
  """Yields charts of scores, or of classes; of what is neither there is none.

  Args:
    table: of a split, from `engine.measure.per_example`.
  """
  if _are_scores(table):
    labels, scores = table["labels"], table["outputs"][:, 0]
    line = _means(labels, scores, _BINS)
    yield line_chart("mean score", [line], x_label="label")
    yield _by_length(table, np.square(scores - labels), "squared error")
    return
  if not _are_classes(table):
    return
  shares = _softmax(table["outputs"])
  sure, right = shares.max(-1), shares.argmax(-1) == table["labels"]
  confidences, accuracies, error = calibration(sure, right)
  yield line_chart(
    f"accuracy (expected calibration error {error:.3f})",
    [Line("", confidences, accuracies, dots=True)],
    x_label="confidence",
    diagonal=True,
  )
  yield _by_length(table, right.astype(float), "accuracy")


def _by_length(
  table: Mapping[str, np.ndarray], values: np.ndarray, name: str
) -> str:
  """Draws the mean of values for groups of examples of similar size."""
  sizes = table["sizes"]
  if len(set(sizes.tolist())) < 2:
    return ""
  line = _means(sizes, values, _LENGTHS)
  return line_chart(name, [line], x_label="length")


def _means(by: np.ndarray, values: np.ndarray, most: int) -> Line:
  """Means of [examples] values over groups of similar ones, `most` at most."""
  order = np.argsort(by, kind="stable")
  groups = np.array_split(order, min(most, len(order)))
  x, y = ([float(of[g].mean()) for g in groups] for of in (by, values))
  return Line("", x, y, dots=True)


def tables(
  table: Mapping[str, np.ndarray], classes: Sequence[str]
) -> Iterator[str]:
  """Yields a confusion matrix, and the examples with the largest losses.

  Args:
    table: of a split, from `engine.measure.per_example`.
    classes: their names; none where no name is known.
  """
  labels = table["labels"]
  tell: Callable[[int], str] = lambda i: f"loss {table['losses'][i]:.3f}"
  if _are_classes(table):
    shares = _softmax(table["outputs"])
    called, number = shares.argmax(-1), shares.shape[-1]
    names = [str(i) for i in range(number)]
    if len(classes) == number:
      names = list(classes)
    matrix = np.zeros([number, number], int)
    np.add.at(matrix, (labels, called), 1)
    yield markup.table(
      "Confusion",
      ["label", *(f"called {name}" for name in names)],
      [[name, *row] for name, row in zip(names, matrix.tolist(), strict=True)],
    )
    yield markup.table(
      "Classes",
      ["class", "precision", "recall", "F1", "examples"],
      [[name, *row] for name, row in zip(names, _each(matrix), strict=True)],
    )
    tell = lambda i: (
      f"{names[labels[i]]}, called {names[called[i]]} ({shares[i].max():.1%})"
    )
  elif _are_scores(table):
    tell = lambda i: f"{labels[i]:.2f}, called {table['outputs'][i, 0]:.2f}"
  ids = table.get("ids", np.arange(len(labels)))
  worst = zip(table["worst"].tolist(), table["texts"].tolist(), strict=True)
  yield markup.table(
    "Most confident mistakes: the largest losses",
    ["id", "label", "example"],
    [[str(ids[i]), tell(i), text] for i, text in list(worst)[:_MISTAKES]],
  )


def _each(matrix: np.ndarray) -> list[list[Any]]:
  """Returns precision, recall, F1 and examples of each class."""
  right, called, there = np.diag(matrix), matrix.sum(0), matrix.sum(1)
  share = lambda part, of: (part / np.maximum(of, 1)).tolist()
  return [
    list(row)
    for row in zip(
      share(right, called),
      share(right, there),
      share(2 * right, called + there),
      there.tolist(),
      strict=True,
    )
  ]


def _are_scores(table: Mapping[str, np.ndarray]) -> bool:
  """Whether there is one number for each example: a task may do otherwise."""
  outputs, labels = table.get("outputs"), table["labels"]
  return outputs is not None and outputs.shape == (*labels.shape, 1)


def _are_classes(table: Mapping[str, np.ndarray]) -> bool:
  """Whether there are logits of classes for each example."""
  outputs, labels = table.get("outputs"), table["labels"]
  return (
    outputs is not None
    and outputs.ndim == 2
    and outputs.shape[1] > 1
    and labels.ndim == 1
    and labels.dtype.kind in "iu"
    and 0 <= labels.min() <= labels.max() < outputs.shape[1]
  )


def calibration(
  sure: np.ndarray, right: np.ndarray
) -> tuple[list[float], list[float], float]:
  """Confidence and accuracy of bins, and the expected calibration error.

  The error is the mean distance of the two, weighted by the examples of a bin
  (Naeini et al., AAAI 2015; Guo et al., arXiv 1706.04599).

  Args:
    sure: the largest share of each example, [examples].
    right: whether its class is the label, [examples].
  """
  bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
  confidences, accuracies, error = [], [], 0.0
  for i in np.unique(bins):
    here = bins == i
    confidences.append(float(sure[here].mean()))
    accuracies.append(float(right[here].mean()))
    error += here.mean() * abs(confidences[-1] - accuracies[-1])
  return confidences, accuracies, float(error)


def _softmax(outputs: np.ndarray) -> np.ndarray:
  """Returns shares [..., classes] that sum to 1."""
  powers = np.exp(outputs - outputs.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)

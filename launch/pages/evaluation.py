"""What a page says of an evaluated split: charts and tables of its examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from engine.certainty.intervals import interval
from engine.certainty.statistic import are_classes, are_scores, statistics_of
from engine.measure.per_example import MARK
from launch.pages import markup
from launch.pages.charts import Line, line_chart
from tasks.calibration import bins, shares_of

_BINS = 10  # Of confidences.
_LEAST = 20  # Examples of a mean that is drawn.
_LENGTHS = 5  # Groups of examples by length.
_MISTAKES = 20  # That are shown of a split.


def charts(table: Mapping[str, np.ndarray]) -> Iterator[str]:
  """Yields charts of scores, or of classes; of what is neither there is none.

  Args:
    table: of a split, from `engine.measure.per_example`.
  """
  if are_scores(table):
    labels, scores = table["labels"], table["outputs"][:, 0]
    pairs = labels.tolist(), scores.tolist()
    line = Line("", *pairs, dots=True, joined=False)
    yield line_chart("score", [line], x_label="label", diagonal=True)
    yield _by_length(table, np.square(scores - labels), "squared error")
    return
  if not are_classes(table):
    return
  shares = shares_of(table["outputs"])
  sure, right = shares.max(-1), shares.argmax(-1) == table["labels"]
  *_, error = bins(sure, right)
  yield line_chart(
    f"accuracy (expected calibration error {error:.3f})",
    [_reliability(sure, right)],
    x_label="confidence, with the number of examples",
    diagonal=True,
  )
  yield _by_length(table, right.astype(float), "accuracy")


def _by_length(
  table: Mapping[str, np.ndarray], values: np.ndarray, name: str
) -> str:
  """Draws the mean of values for groups of examples of similar size."""
  sizes = table["sizes"]
  line = _means(sizes, values, _LENGTHS)
  if len(set(sizes.tolist())) < 2 or len(line.x) < 2:
    return ""
  label = "length, with the number of examples"
  return line_chart(name, [line], x_label=label, y_from=0.0)


def _reliability(sure: np.ndarray, right: np.ndarray) -> Line:
  """How often examples of similar confidence are right, tenth by tenth."""
  place = np.minimum((sure * _BINS).astype(int), _BINS - 1)
  groups = [np.flatnonzero(place == i) for i in np.unique(place)]
  x, y = ([float(of[g].mean()) for g in groups] for of in (sure, right))
  counts = [len(g) for g in groups]
  return Line("", x, y, dots=True, joined=False, counts=counts)


def _means(by: np.ndarray, values: np.ndarray, most: int) -> Line:
  """Means of [examples] values over groups of similar ones, `most` at most."""
  order = np.argsort(by, kind="stable")
  groups = np.array_split(order, max(1, min(most, len(order) // _LEAST)))
  x, y = ([float(of[g].mean()) for g in groups] for of in (by, values))
  return Line("", x, y, dots=True, counts=[len(g) for g in groups])


_MARKS = {
  "in_train": "are in train too",
  "shares_a_sentence": "share a sentence with train",
  "there_twice": "are there for another time",
  "contradicts": "contradict an equal pair",
}


def without_marked(
  table: Mapping[str, np.ndarray], metrics: Mapping[str, Any]
) -> str:
  """Returns the metrics beside those without examples that flatter them.

  Args:
    table: of a split, from `engine.measure.per_example`.
    metrics: of the split, as they were reported.
  """
  marks = {
    name.removeprefix(MARK): marked
    for name, marked in table.items()
    if name.startswith(MARK) and marked.any() and not marked.all()
  }
  if not marks:
    return ""
  known = statistics_of(table, metrics)
  nothing = np.zeros(len(table["labels"]), bool)
  rows = []
  for name, marked in [("", nothing), *marks.items()]:
    kept, left_out = ~marked, int(np.sum(marked))
    words = f"without {left_out:,} that {_MARKS.get(name, name)}"
    cells = []
    for statistic in (x.of_some(kept) for x in known.values()):
      ends = interval(statistic)
      cells.append(markup.with_interval(statistic.value(), *ends))
    rows.append([words if left_out else "all", int(np.sum(kept)), *cells])
  return markup.table(
    "With and without examples that flatter",
    ["examples", "number", *known],
    rows,
  )


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
  if are_classes(table):
    shares = shares_of(table["outputs"])
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
      ["class", "examples", "share", "called", "precision", "recall", "F1"],
      [[name, *row] for name, row in zip(names, _each(matrix), strict=True)],
    )
    tell = lambda i: (
      f"{names[labels[i]]}, called {names[called[i]]} ({shares[i].max():.1%})"
    )
  elif are_scores(table):
    tell = lambda i: f"{labels[i]:.2f}, called {table['outputs'][i, 0]:.2f}"
  ids = table.get("ids", np.arange(len(labels)))
  worst = zip(table["worst"].tolist(), table["texts"].tolist(), strict=True)
  yield markup.table(
    "Most confident mistakes: the largest losses",
    ["id", "label", "example"],
    [[str(ids[i]), tell(i), text] for i, text in list(worst)[:_MISTAKES]],
  )


def _each(matrix: np.ndarray) -> list[list[Any]]:
  """Returns number, share, calls, precision, recall and F1 of each class."""
  right, called, there = np.diag(matrix), matrix.sum(0), matrix.sum(1)
  share = lambda part, of: (part / np.maximum(of, 1)).tolist()
  return [
    list(row)
    for row in zip(
      there.tolist(),
      share(there, there.sum()),
      called.tolist(),
      share(right, called),
      share(right, there),
      share(2 * right, called + there),
      strict=True,
    )
  ]

"""What one pass over the rows of large text files finds.

Of a pair that is at most 8 bytes: an eighth of where its block of eight begins,
its label, its weight, and as many bits of a digest of its sentences as there is
room for. (Two more where weights are given and they and scores all differ.)
Digests of each sentence, 8 bytes each, lie apart: only a search for leaks reads
them.
"""

import array
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.task import digest_of
from tasks.data.left_out import LeftOut
from tasks.data.pairs import digest_of_texts
from tasks.data.row_files import opened
from tasks.data.sentences import Sentences, digests_of
from tasks.data.tables import Row, Table

BLOCK = 8  # Pairs behind one place in a file.
_BYTES = 8  # Of a pair, in all columns.
_FEW = 2**16  # Values that are kept once.
_TEXTS = 2**13  # Pairs whose sentences are looked at together.

Number = Callable[[str, str], float]  # (label, its place) -> a number.


@dataclasses.dataclass(frozen=True)
class RowIndex:
  """Where pairs are in files, and what there is of them but sentences.

  Attributes:
    facts: of all pairs: `bounds`, how many there are before each file;
      `firsts`, bytes before the first of each file; `rows`, those that are left
      out included; `names` of classes and `places` where each occurs first, or
      `scores`, and `weights`, of which columns have the places; `why` the first
      bad row is bad; `digest`, 32 bits of all sentences.
    columns: `starts`, int64 [blocks], bytes before the first pair of a block;
      `digests`, uint8 [pairs, 2 to 4]; `labels` and `weights`, if there are
      any: of few values places in these, else float32 [pairs]; `bad` and
      `unlabelled`, int64, numbers of rows that are left out.
    sentences: of all pairs.
  """

  facts: dict[str, Any]
  columns: dict[str, np.ndarray]
  sentences: Sentences

  def is_of(self, pair: int, text_a: str, text_b: str) -> bool:
    """Whether a pair has these sentences, as far as its bits can tell."""
    said = self.columns["digests"][pair].tobytes()
    found = digest_of_texts(text_a, text_b).to_bytes(8, "little")
    return found.startswith(said)

  @property
  def numbers(self) -> Sequence[int]:
    """The number of the row of each pair."""
    rows, columns = self.facts["rows"], self.columns
    left = np.concatenate([columns["bad"], columns["unlabelled"]])
    if not len(left):
      return range(rows)
    return array.array("q", np.delete(np.arange(rows), left).tobytes())

  @property
  def left(self) -> LeftOut:
    """The rows that are left out."""
    bad = dict.fromkeys(self.columns["bad"].tolist(), "")
    if bad:
      bad[next(iter(bad))] = self.facts["why"]
    unlabelled = self.columns["unlabelled"].tolist()
    return LeftOut(self.facts["rows"], bad, unlabelled)

  def values(self, name: str, of: Sequence[float]) -> np.ndarray | None:
    """Returns `labels` or `weights` of all pairs; None where they have none.

    Args:
      name: of the column.
      of: the values of which it has the places.
    """
    column = self.columns.get(name)
    if column is None:
      return None
    if column.dtype.kind == "f":
      return column.astype(np.float64)
    return np.asarray(of)[column]


class Pass:
  """Makes an index of the rows of a table.

  Attributes:
    numbers: of the names of classes, in the order of their occurrence.
  """

  def __init__(self, table: Table, number: Number | None, *, scores: bool):
    """Initializes it; the arguments are those of `PairsOnDisk`."""
    self.numbers: list[float] = []
    self._table, self._number, self._are_scores = table, number, scores
    self._names: dict[str, tuple[int, str]] = {}
    self._starts, self._digests = array.array("q"), array.array("Q")
    self._labels: array.array[Any] = array.array("d" if scores else "L")
    self._weights = array.array("f")
    self._first, self._second = array.array("q"), array.array("q")
    self._texts: list[tuple[str, str]] = []  # Whose digests are to come.

  def index(self, files: list[list[int]]) -> RowIndex:
    """Reads all rows.

    Args:
      files: what they are known again by.

    Raises:
      UserError: at the first bad row.
    """
    table, bounds, firsts = self._table, [0], []
    table.left = LeftOut()
    for path in table.paths:
      first = 0
      with opened(path, table.form) as file:
        for offset, row in table.rows_of(file):
          if len(self._digests) == bounds[-1]:
            first = offset
          self._add(offset, row)
      firsts.append(first)
      bounds.append(len(self._digests))
    self._digest()
    left, table.left = table.left, LeftOut()
    facts = {"files": files, "bounds": bounds, "firsts": firsts}
    facts |= {"rows": left.rows, "why": next(iter(left.bad.values()), "")}
    return self._packed(facts, left)

  def _add(self, offset: int, row: Row) -> None:
    if len(self._digests) % BLOCK == 0:
      self._starts.append(offset)
    self._digests.append(digest_of_texts(row.text_a, row.text_b))
    self._texts.append((row.text_a, row.text_b))
    if len(self._texts) == _TEXTS:
      self._digest()
    if self._table.roles.weight:
      self._weights.append(row.weight)
    if self._number is None or row.label is None:
      return
    if self._are_scores:
      self._labels.append(self._number(row.label, row.place))
    else:
      if row.label not in self._names:
        self.numbers.append(self._number(row.label, row.place))
        self._names[row.label] = len(self._names), row.place
      self._labels.append(self._names[row.label][0])

  def _digest(self) -> None:
    self._first.frombytes(digests_of([a for a, _ in self._texts]).tobytes())
    if self._table.roles.text_b:
      self._second.frombytes(digests_of([b for _, b in self._texts]).tobytes())
    self._texts.clear()

  def _packed(self, facts: dict[str, Any], left: LeftOut) -> RowIndex:
    scores: list[float] = []
    weights: list[float] = []
    columns = {}
    if self._labels and self._are_scores:
      columns["labels"], scores = _few(np.array(self._labels))
    elif self._labels:
      columns["labels"] = _places(np.array(self._labels), len(self._names))
    if self._weights:
      columns["weights"], weights = _few(np.array(self._weights))
    digests = np.array(self._digests)
    facts |= {
      "names": [*self._names],
      "places": [place for _, place in self._names.values()],
      "scores": scores,
      "weights": weights,
      "digest": digest_of(digests),
    }
    room = _BYTES - 8 // BLOCK - sum(x.itemsize for x in columns.values())
    every = digests.astype("<u8").view(np.uint8).reshape(-1, 8)
    columns |= {
      "starts": np.array(self._starts),
      "digests": np.ascontiguousarray(every[:, : min(4, max(2, room))]),
      "bad": np.array([*left.bad], np.int64),
      "unlabelled": np.array(left.unlabelled, np.int64),
    }
    second = np.array(self._second, np.int64) if self._second else None
    sentences = Sentences(np.array(self._first, np.int64), second)
    return RowIndex(facts, columns, sentences)


def _few(values: np.ndarray) -> tuple[np.ndarray, list[float]]:
  """Returns numbers as places of their values; as float32 if these are many."""
  found, places = np.unique(values, return_inverse=True)
  if len(found) > _FEW:
    return values.astype(np.float32), []
  return _places(places, len(found)), found.tolist()


def _places(places: np.ndarray, values: int) -> np.ndarray:
  """Returns places of so many values in as few bytes as they take."""
  return places.astype(np.min_scalar_type(max(0, values - 1)))

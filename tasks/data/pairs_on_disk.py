"""Pairs of files too large to hold: read and encoded when a batch asks.

One pass finds where each row begins, its label and a digest of its sentences.
That is all that is kept of a pair until it is used, and again behind that.
"""

import array
import bisect
import copy
import itertools
import os
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from engine.errors import UserError
from tasks.data.forms import packing_of
from tasks.data.left_out import LeftOut
from tasks.data.pairs import NO_ORDER, Pairs, digest_of_texts
from tasks.data.row_files import RowFile, opened
from tasks.data.sentences import Sentences, digest_of_sentence
from tasks.data.tables import Table

LARGE = 2**27  # Bytes: reading and encoding all of it would take a minute.


def is_large(table: Table) -> bool:
  """Whether files had better stay on disk, and can: local, and not packed."""
  if not all(os.path.exists(x) and not packing_of(x) for x in table.paths):
    return False
  return sum(map(os.path.getsize, table.paths)) > LARGE


class PairsOnDisk:
  """As `tasks.data.pairs.Pairs`, but for the sentences.

  Attributes:
    labels: a class or a score for each pair; None where they are not known.
    ids: a stable name for each pair.
    weights: of each pair in training; None: all weigh the same.
    digests: uint64 [pairs], of their sentences.
    sentences: what tells these apart.
    left: the rows that are none of these.
  """

  def __init__(
    self, table: Table, number: Callable[[str, str], float] | None = None
  ):
    """Reads all rows once.

    Args:
      table: the rows.
      number: (label, its place) -> what it is as a number, of all int or of all
        float; None: the table has no labels.

    Raises:
      UserError: at the first bad row.
    """
    self._table = table
    self._bounds = [0]  # Rows before each file.
    offsets, digests = array.array("q"), array.array("Q")
    labels, weights = array.array("d"), array.array("f")
    first, second = array.array("q"), array.array("q")
    whole = True  # Classes are int, as of pairs in memory.
    table.left = LeftOut()
    numbers = array.array("q")
    for path in table.paths:
      with opened(path, table.form) as file:
        for offset, row in table.rows_of(file):
          offsets.append(offset)
          numbers.append(row.number)
          digests.append(digest_of_texts(row.text_a, row.text_b))
          first.append(digest_of_sentence(row.text_a))
          if row.text_b:
            second.append(digest_of_sentence(row.text_b))
          if number and row.label is not None:
            label = number(row.label, row.place)
            whole &= isinstance(label, int)
            labels.append(label)
          if table.roles.weight:
            weights.append(row.weight)
      self._bounds.append(len(offsets))
    self.ids: Sequence[int] = numbers
    if numbers and numbers[-1] + 1 == len(numbers):
      self.ids = range(len(numbers))
    kind = np.int64 if whole else np.float64
    self.labels = np.array(labels, kind) if labels else None
    self.weights = np.array(weights) if weights else None
    self.digests = np.array(digests)
    self.sentences = Sentences(
      np.array(first), np.array(second) if second else None
    )
    self._offsets = np.array(offsets)
    self._swapped = False
    self.left, table.left = table.left, LeftOut()

  def __len__(self) -> int:
    return len(self.ids)

  @property
  def unread(self) -> Mapping[int, str]:
    """As `Pairs.unread`."""
    return self.left.bad

  def relabel(self, numbers: Sequence[float]) -> None:
    """Replaces each label, an index into `numbers`, by what it stands for."""
    assert self.labels is not None, "there are labels to be replaced"
    self.labels = np.array(numbers)[self.labels]

  def swapped(self) -> "PairsOnDisk":
    """As `Pairs.swapped`."""
    if not self._table.roles.text_b:
      raise UserError(NO_ORDER)
    other = copy.copy(self)
    other._swapped = not self._swapped
    return other

  def chosen(self, indices: np.ndarray) -> "PairsOnDisk":
    """As `Pairs.chosen`, of rising indices."""
    other = copy.copy(self)
    for name in ("labels", "weights", "digests", "_offsets"):
      column = getattr(self, name)
      setattr(other, name, None if column is None else column[indices])
    first, second = self.sentences
    some = None if second is None else second[indices]
    other.sentences = Sentences(first[indices], some)
    other.ids = np.asarray(self.ids)[indices].tolist()
    other._bounds = np.searchsorted(indices, self._bounds).tolist()
    return other

  def texts(self, index: int) -> str:
    """Returns the sentences of a pair in one line."""
    return self.read([index]).texts(0)

  def read(self, indices: Collection[int]) -> Pairs:
    """Reads some pairs, without labels.

    Raises:
      UserError: where a file is not what it was.
    """
    texts = {}
    file_of = lambda i: bisect.bisect_right(self._bounds, i) - 1
    in_order = sorted({int(i) for i in indices})
    for k, group in itertools.groupby(in_order, file_of):
      path = self._table.paths[k]
      with opened(path, self._table.form) as file:
        for i in group:
          texts[i] = self._read_row(file, i)
    texts_a, texts_b = zip(*(texts[int(i)] for i in indices), strict=True)
    if self._swapped:
      texts_a, texts_b = texts_b, texts_a
    single = not self._table.roles.text_b
    ids = [self.ids[i] for i in indices]
    return Pairs(texts_a, None if single else texts_b, None, ids)

  def _read_row(self, file: RowFile, index: int) -> tuple[str, str]:
    file.seek(int(self._offsets[index]), 0)
    try:
      _, row = next(self._table.rows_of(file), (0, None))
    except UserError:
      row = None
    if not row or self.digests[index] != digest_of_texts(*row[2:4]):
      raise UserError(
        f"{file.path} has changed while it was in use: give the command again."
      )
    return row.text_a, row.text_b

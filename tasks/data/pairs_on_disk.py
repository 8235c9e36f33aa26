"""Pairs of files too large to hold: read and encoded when a batch asks.

One pass finds where rows begin, their labels and some bits of a digest of their
sentences; later starts find that in a cache. Of a pair nothing else is kept
until it is used, and again behind that.
"""

import bisect
import copy
import dataclasses
import itertools
import os
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from engine.errors import UserError
from engine.task import digest_of
from tasks.data import kept_index
from tasks.data.forms import packing_of
from tasks.data.left_out import LeftOut
from tasks.data.pairs import NO_ORDER, Pairs
from tasks.data.row_files import RowFile, opened
from tasks.data.row_index import BLOCK, Number, Pass, RowIndex
from tasks.data.sentences import Sentences
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
    digest: 32 bits of the sentences of all pairs.
    sentences: what tells these apart.
    left: the rows that are none of these.
  """

  def __init__(
    self, table: Table, number: Number | None = None, *, scores: bool = False
  ):
    """Reads all rows once, if no earlier start has done so.

    Args:
      table: the rows.
      number: (label, its place) -> what it is as a number, of all int or of all
        float; None: the table has no labels.
      scores: whether labels are numbers; else each name is asked for once.

    Raises:
      UserError: at the first bad row.
    """
    kind = ("scores" if scores else "names") if number else ""
    index = kept_index.read(table, kind)
    if index:
      numbers = _numbers(index, table, number)
    else:
      made = Pass(table, number, scores=scores)
      index, numbers = made.index(kept_index.states_of(table)), made.numbers
      kept_index.write(index, table, kind)
    facts = index.facts
    self._table, self._index = table, index
    self.ids, self.left = index.numbers, index.left
    self.labels = index.values("labels", facts["scores"] if scores else numbers)
    self.weights = index.values("weights", facts["weights"])
    self.digest, self.sentences = facts["digest"], index.sentences
    self._rows: np.ndarray | None = None  # Of the index; None: all.
    self._swapped = False

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
    for name in ("labels", "weights", "_rows"):
      column = getattr(self, name)
      setattr(other, name, None if column is None else column[indices])
    other._rows = indices if self._rows is None else self._rows[indices]
    other.digest = digest_of(np.array([self.digest]), other._rows)
    first, second = self.sentences
    some = None if second is None else second[indices]
    other.sentences = Sentences(first[indices], some)
    other.ids = np.asarray(self.ids)[indices].tolist()
    return other

  def unlabelled(self) -> "PairsOnDisk":
    """As `Pairs.unlabelled`."""
    other = copy.copy(self)
    other.labels = other.weights = None
    return other

  def texts(self, index: int) -> list[str]:
    """Returns the sentences of a pair."""
    return self.read([index]).texts(0)

  def read(self, indices: Collection[int]) -> Pairs:
    """Reads some pairs, without labels.

    Raises:
      UserError: where a file is not what it was.
    """
    texts, bounds = {}, self._index.facts["bounds"]
    row_of = self._rows if self._rows is not None else range(len(self))
    table = dataclasses.replace(self._table, left=LeftOut())
    file_of = lambda i: bisect.bisect_right(bounds, i) - 1
    in_order = sorted({int(row_of[i]) for i in indices})
    for k, group in itertools.groupby(in_order, file_of):
      with opened(table.paths[k], table.form) as file:
        for i in group:
          texts[i] = self._read_row(table, file, k, i)
    texts_a, texts_b = zip(
      *(texts[int(row_of[i])] for i in indices), strict=True
    )
    if self._swapped:
      texts_a, texts_b = texts_b, texts_a
    single = not table.roles.text_b
    ids = [self.ids[i] for i in indices]
    return Pairs(texts_a, None if single else texts_b, None, ids)

  def _read_row(
    self, table: Table, file: RowFile, k: int, index: int
  ) -> tuple[str, str]:
    """Reads a pair of file `k`, behind those of its block."""
    facts, first = self._index.facts, index - index % BLOCK
    offset = self._index.columns["starts"][index // BLOCK]
    if first < facts["bounds"][k]:  # The block begins in the file before.
      first, offset = facts["bounds"][k], facts["firsts"][k]
    file.seek(int(offset), 0)
    try:
      rows = itertools.islice(table.rows_of(file), index - first, None)
      _, row = next(rows, (0, None))
    except UserError:
      row = None
    if not row or not self._index.is_of(index, row.text_a, row.text_b):
      raise UserError(
        f"{file.path} has changed while it was in use: give the command again."
      )
    return row.text_a, row.text_b


def _numbers(
  index: RowIndex, table: Table, number: Number | None
) -> Sequence[float]:
  """Returns the names of an index as numbers, once all labels can be such."""
  facts, labels = index.facts, index.columns.get("labels")
  if not number or labels is None:
    return []
  if not facts["names"]:
    scores = np.asarray(facts["scores"] or labels)
    for score in (scores.min(), scores.max()):
      number(repr(float(score)), ", ".join(table.paths))
  both = zip(facts["names"], facts["places"], strict=True)
  return [number(name, place) for name, place in both]

"""Pairs of files too large to hold: read and encoded when a batch asks.

One pass finds where each row begins, its label and a digest of its sentences.
That is all that is kept of a pair until it is used, and again behind that.
"""

import array
import bisect
import itertools
import os
from collections.abc import Callable, Sequence

import numpy as np

from engine.errors import UserError
from engine.task import digest_of
from tasks.pairs import Pairs, digest_of_texts
from tasks.row_files import RowFile, is_packed, opened
from tasks.tables import Row, Table
from tasks.tokenizer import EncodedPairs

LARGE = 2**27  # Bytes: reading and encoding all of it would take a minute.
_SAMPLE = 2**13  # Pairs whose lengths stand for those of all.
_KEPT = 2**14  # Encoded pairs in memory.


def is_large(table: Table) -> bool:
  """Whether files had better stay on disk, and can: local, and not packed."""
  if not all(os.path.exists(x) and not is_packed(x) for x in table.paths):
    return False
  return sum(map(os.path.getsize, table.paths)) > LARGE


class PairsOnDisk:
  """As `tasks.pairs.Pairs`, but for the sentences.

  Attributes:
    labels: a class or a score for each pair; None where they are not known.
    ids: a stable name for each pair.
    weights: of each pair in training; None: all weigh the same.
    digests: uint64 [pairs], of their sentences.
    bad: rows that were passed over.
  """

  def __init__(self, table: Table, number: Callable[[Row], float]):
    """Reads all rows once.

    Args:
      table: the rows.
      number: what the label of a row is.

    Raises:
      UserError: at the first bad row.
    """
    self._table = table
    self._bounds = [0]  # Rows before each file.
    offsets, labels, weights, digests = map(array.array, "qdfQ")
    table.bad = 0
    for path in table.paths:
      with opened(path, table.form) as file:
        for offset, row in table.rows_of(file):
          offsets.append(offset)
          digests.append(digest_of_texts(row.text_a, row.text_b))
          if row.label is not None:
            labels.append(number(row))
          if table.weight:
            weights.append(row.weight)
      self._bounds.append(len(offsets))
    self.ids = range(len(offsets))
    self.labels = np.array(labels) if labels else None
    self.weights = np.array(weights) if weights else None
    self.digests = np.array(digests)
    self._offsets = np.array(offsets)
    self.bad = table.bad

  def __len__(self) -> int:
    return len(self.ids)

  def relabel(self, numbers: Sequence[float]) -> None:
    """Replaces each label, an index into `numbers`, by what it stands for."""
    self.labels = np.array(numbers)[self.labels.astype(np.int64)]

  def texts(self, index: int) -> str:
    """Returns the sentences of a pair in one line."""
    return self.read([index]).texts(0)

  def read(self, indices: Sequence[int]) -> Pairs:
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
    single = not self._table.text_b
    return Pairs(texts_a, None if single else texts_b, None, list(indices))

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


class EncodedOnDemand:
  """As `tasks.tokenizer.EncodedPairs`, of pairs on disk.

  Attributes:
    longest: tokens that a pair can have.
    sampled: pairs whose lengths are known from the beginning.
    truncated: how many of these were cut to the maximal length.
  """

  def __init__(
    self,
    pairs: PairsOnDisk,
    encode: Callable[[Pairs], EncodedPairs],
    max_length: int,
  ):
    """Encodes a sample, the same in each process.

    Args:
      pairs: to be encoded.
      encode: does so.
      max_length: tokens of a pair, at most.
    """
    self._pairs, self._encode = pairs, encode
    self._lengths = np.zeros(len(pairs), np.int32)
    self._kept: dict[int, tuple[np.ndarray, int]] = {}
    sample = np.arange(len(pairs))
    if len(pairs) > _SAMPLE:
      words = np.random.Philox(key=[0, 0]).random_raw(_SAMPLE)
      sample = np.unique(words % np.uint64(len(pairs))).astype(np.int64)
    self.sampled = len(sample)
    self.truncated = self._keep(sample)
    self.sample = self._lengths[sample]
    whole = self.sampled == len(pairs)
    self.longest = int(self.sample.max()) if whole else max_length

  def __len__(self) -> int:
    return len(self._pairs)

  def lengths_at(self, indices: np.ndarray) -> np.ndarray:
    """Returns the tokens of some pairs, int64 [n]."""
    self._keep(indices[self._lengths[indices] == 0])
    return self._lengths[indices].astype(np.int64)

  def pick(self, indices: np.ndarray) -> EncodedPairs:
    """Returns some pairs."""
    if any(int(i) not in self._kept for i in indices):
      self._keep(indices)
    found = [self._kept[int(i)] for i in indices]
    return EncodedPairs(
      ids=np.concatenate([np.zeros(0, np.int32), *(ids for ids, _ in found)]),
      starts=np.concatenate([[0], np.cumsum(self._lengths[indices])]),
      first=np.array([first for _, first in found], np.int32),
      truncated=0,
    )

  def digest(self) -> int:
    """32 bits of all sentences."""
    return digest_of(self._pairs.digests)

  def _keep(self, indices: Sequence[int]) -> int:
    """Encodes pairs; returns how many were cut."""
    if not len(indices):
      return 0
    encoded = self._encode(self._pairs.read(indices))
    if len(self._kept) + len(indices) > _KEPT:
      self._kept.clear()
    for k, i in enumerate(map(int, indices)):
      start, end = encoded.starts[k : k + 2]
      self._kept[i] = encoded.ids[start:end], int(encoded.first[k])
      self._lengths[i] = end - start
    return encoded.truncated

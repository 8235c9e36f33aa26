"""A split of pairs, encoded into TFRecord files, or a store, shard by shard.

What is in a shard is a function of its `Shard` alone, so shards can be made
anywhere, in any order, and again.
"""

import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from engine.errors import UserError
from tasks.answers import Answers
from tasks.config import Casing, SentencePairConfig
from tasks.data import record_files, store_files
from tasks.data.datasets import answers_of, open_split, read_split
from tasks.data.pairs import Pairs
from tasks.data.tables import Cut, Table, pairs_of
from tasks.encoders import find as encoders
from tasks.tokens import records
from tasks.tokens.encoded import EncodedPairs
from tasks.tokens.tokenizer import PairTokenizer

_BLOCK = 2**14  # Pairs of a store whose texts are in memory at once.


@dataclasses.dataclass(frozen=True)
class Shard:
  """One file to be, or one directory of a store.

  Attributes:
    path: of it; its name says which of the two.
    config: of the task.
    split: of the pairs.
    first: place of its first pair in the split.
    count: of its pairs.
    answers: what labels mean.
    table: the text files that hold the pairs; None for a named data set.
    cut: its rows there.
  """

  path: str
  config: SentencePairConfig
  split: str
  first: int
  count: int
  answers: Answers
  table: Table | None = None
  cut: Cut | None = None


def plan(
  config: SentencePairConfig,
  split: str,
  *,
  answers: Answers,
  size: int,
  directory: str,
  form: str = "tfrecord",
) -> tuple[list[Shard], str]:
  """Cuts a split into shards of `size` pairs; text files are read once.

  Args:
    config: of the task.
    split: its name.
    answers: what labels mean.
    size: most pairs in a shard.
    directory: of the shards.
    form: "tfrecord" or "arrays".

  Returns:
    The shards, and a digest of the pairs.

  Raises:
    UserError: where the split or a row of it is not as it must be.
  """
  table = open_split(config, split).table
  digest = hashlib.sha256()
  if table:

    def look(row):
      if row.label is not None:
        answers.number(row.label, row.place)
      digest.update(repr(row[1:6]).encode())

    cuts: list[Cut | None] = [*table.cuts(size, look)]
    table.left.tell(table.paths)
  else:
    pairs = _named(config, split)
    total = len(pairs)
    cuts = [None] * -(-total // size)
    digest.update(repr(pairs).encode())
  shards, first = [], 0
  for i, cut in enumerate(cuts):
    count = cut.count if cut else min(size, total - first)
    name_of = (store_files if form == "arrays" else record_files).name_of
    path = os.path.join(directory, name_of(split, i, len(cuts)))
    shards.append(Shard(path, config, split, first, count, answers, table, cut))
    first += count
  if not shards:
    raise UserError(f"The split {split!r} has no pair.")
  return shards, digest.hexdigest()


def write(shard: Shard) -> int:
  """Encodes and writes one shard, which appears whole.

  Returns:
    How many of its pairs were cut to the length of a row.
  """
  into_store = store_files.are_stores([shard.path])
  return (_write_arrays if into_store else _write_records)(shard)


def _write_records(shard: Shard) -> int:
  (pairs,) = _blocks(shard, shard.count)
  encoded, labels = _encoded(shard, pairs)
  record_files.write_records(
    shard.path,
    records.serialize(
      encoded,
      labels,
      [int(x) for x in pairs.ids],
      weights=pairs.weights,
      length=shard.config.max_seq_length,
    ),
  )
  return encoded.truncated


def _write_arrays(shard: Shard) -> int:
  parts: list[EncodedPairs] = []
  columns: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
  words = len(encoders.find(shard.config.encoder).tokenizer.pieces)
  small = np.uint16 if words <= 2**16 else np.int32
  for pairs in _blocks(shard, _BLOCK):
    encoded, labels = _encoded(shard, pairs)
    parts.append(dataclasses.replace(encoded, ids=encoded.ids.astype(small)))
    weights = np.ones(len(pairs)) if pairs.weights is None else pairs.weights
    columns.append(
      (
        np.array(labels, shard.answers.dtype),
        np.array([int(x) for x in pairs.ids]),
        np.array(weights, np.float32),
      )
    )
  numbers, ids, weights = map(np.concatenate, zip(*columns, strict=True))
  encoded = EncodedPairs.joined(parts)
  store_files.write_shard(
    shard.path,
    encoded.ids,
    encoded.lengths,
    encoded.first,
    numbers,
    classes=len(shard.answers.classes),
    place=shard.first,
    weights=weights,
    ids=ids,
  )
  return encoded.truncated


def _encoded(
  shard: Shard, pairs: Pairs
) -> tuple[EncodedPairs, Sequence[float]]:
  """Returns tokens and labels of pairs."""
  config = shard.config
  encoded = _tokenizer(config.encoder, config.casing).encode(
    pairs.texts_a, pairs.texts_b, config.max_seq_length
  )
  if pairs.labels is None:
    return encoded, [shard.answers.unknown] * len(pairs)
  return encoded, pairs.labels


def _blocks(shard: Shard, size: int) -> Iterator[Pairs]:
  """Yields the pairs of a shard, `size` at once."""
  if shard.table and shard.cut:
    rows = shard.table.read(shard.cut)
    while block := [*itertools.islice(rows, size)]:
      yield pairs_of(block, shard.answers)
    return
  end = shard.first + shard.count
  pairs = _named(shard.config, shard.split)
  for first in range(shard.first, end, size):
    yield pairs[first : min(first + size, end)]


def is_written(shard: Shard) -> bool:
  """Whether it is there: then it is whole."""
  return tf.io.gfile.exists(shard.path)


@functools.lru_cache(maxsize=2)
def _named(config: SentencePairConfig, split: str) -> Pairs:
  pairs = read_split(config, split, answers_of(config))
  if not isinstance(pairs, Pairs):
    raise UserError(
      f"`eval_fraction` is given, but {config.train_file} is too large to be "
      "split here: split it into two files, and name both."
    )
  return pairs


@functools.lru_cache(maxsize=2)
def _tokenizer(encoder: str, casing: Casing) -> PairTokenizer:
  return PairTokenizer(encoders.find(encoder).tokenizer.with_casing(casing))

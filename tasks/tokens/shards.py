"""A split of pairs, encoded into TFRecord files one by one.

What is in a file is a function of its `Shard` alone, so files can be made
anywhere, in any order, and again.
"""

import dataclasses
import functools
import hashlib
import os

import tensorflow as tf

from engine.errors import UserError
from tasks.answers import Answers
from tasks.config import Casing, SentencePairConfig
from tasks.data import record_files
from tasks.data.datasets import answers_of, open_split, read_split
from tasks.data.pairs import Pairs
from tasks.data.tables import Cut, Table, pairs_of
from tasks.encoders import find as encoders
from tasks.tokens import records
from tasks.tokens.tokenizer import PairTokenizer


@dataclasses.dataclass(frozen=True)
class Shard:
  """One file to be.

  Attributes:
    path: of the file.
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
) -> tuple[list[Shard], str]:
  """Cuts a split into shards of `size` pairs; text files are read once.

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
    path = os.path.join(directory, record_files.name_of(split, i, len(cuts)))
    shards.append(Shard(path, config, split, first, count, answers, table, cut))
    first += count
  if not shards:
    raise UserError(f"The split {split!r} has no pair.")
  return shards, digest.hexdigest()


def write(shard: Shard) -> int:
  """Encodes and writes one file, which appears whole.

  Returns:
    How many of its pairs were cut to the length of a row.
  """
  if shard.table and shard.cut:
    rows = shard.table.read(shard.cut)
    pairs = pairs_of(rows, shard.answers)
  else:
    place = slice(shard.first, shard.first + shard.count)
    pairs = _named(shard.config, shard.split)[place]
  config, length = shard.config, shard.config.max_seq_length
  encoded = _tokenizer(config.encoder, config.casing).encode(
    pairs.texts_a, pairs.texts_b, length
  )
  labels = pairs.labels
  if labels is None:
    labels = [shard.answers.unknown] * len(pairs)
  assert len(pairs) == shard.count
  record_files.write_records(
    shard.path,
    records.serialize(
      encoded,
      labels,
      [int(x) for x in pairs.ids],
      weights=pairs.weights,
      length=length,
    ),
  )
  return encoded.truncated


def is_written(shard: Shard) -> bool:
  """Whether the file is there: then it is whole."""
  return tf.io.gfile.exists(shard.path)


@functools.lru_cache(maxsize=2)
def _named(config: SentencePairConfig, split: str) -> Pairs:
  pairs = read_split(config, split, answers_of(config))
  assert isinstance(pairs, Pairs), "files are cut, not read"
  return pairs


@functools.lru_cache(maxsize=2)
def _tokenizer(encoder: str, casing: Casing) -> PairTokenizer:
  return PairTokenizer(encoders.find(encoder).tokenizer.with_casing(casing))

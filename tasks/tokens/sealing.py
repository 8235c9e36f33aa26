"""What is said of a store once all of its shards are there.

It needs all pairs, so it is found in one pass when they are encoded; who opens
the store reads it in `meta_data`.
"""

import itertools
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.formats import NUMBER, misfit
from tasks.answers import Answers
from tasks.data import store_files

_CHUNK = 2**22  # Values looked at at once.
_SAID = {
  "shards": {str: dict},
  "checksums": {str: int},
  "scores": {str: [NUMBER]},
}


def seal(paths: Sequence[str], answers: Answers) -> dict[str, Any]:
  """Reads every byte of all shards, and returns what `meta_data` says of them.

  Args:
    paths: of the shards, in the order of splits and pairs.
    answers: what labels mean.

  Raises:
    UserError: naming the first that is damaged.
  """
  facts, checksums, scores = {}, {}, {}
  for path in paths:
    with store_files.damage_named(path):
      said = store_files.read_facts(path, len(answers.classes))
      store_files.check_digests(path, said)
    facts[os.path.basename(path)] = said
  of_split = lambda path: store_files.split_of(os.path.basename(path))
  for split, group in itertools.groupby(paths, of_split):
    shards = [
      store_files.map_shard(path, facts[os.path.basename(path)])
      for path in group
    ]
    checksums[split] = _checksum(shards, answers.dtype)
    if not answers.classes:
      # As from records, to the last bit: it takes 4 bytes a pair, here only.
      labels = np.concatenate([rows["label"] for _, rows in shards])
      if not np.isnan(labels).any():
        # Equal scores have no distance: any one serves.
        scores[split] = [float(labels.mean()), float(labels.std()) or 1.0]
  return {"shards": facts, "checksums": checksums, "scores": scores}


def said_of(paths: Sequence[str], meta: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what `meta_data` says of a store.

  Raises:
    UserError: where it says nothing of one.
  """
  if wrong := misfit(meta.get("arrays"), _SAID, "arrays"):
    raise UserError(
      f"The meta_data beside {paths[0]} is of no store ({wrong}): run "
      "launch.encode --format=arrays again."
    )
  return meta["arrays"]


def _checksum(
  shards: Sequence[tuple[np.ndarray, np.ndarray]], label_type: type[np.generic]
) -> int:
  """Returns what `PairSource.digest` is of the pairs of a split in memory."""
  sizes = [len(rows) for _, rows in shards]
  begins = np.cumsum([0, *sizes])
  tokens = np.cumsum([0, *(len(each) for each, _ in shards)])

  def column(
    name: str, type_: Any, default: Callable[[int, int], Any] | None = None
  ) -> Iterable[np.ndarray]:
    for k, (_, rows) in enumerate(shards):
      for i in range(0, len(rows), _CHUNK):
        part = rows[i : i + _CHUNK]
        if name in (rows.dtype.names or ()):
          yield part[name].astype(type_)
        elif default:
          yield default(begins[k] + i, len(part)).astype(type_)

  def starts() -> Iterable[np.ndarray]:
    for k, (_, rows) in enumerate(shards):
      for i in range(0, len(rows), _CHUNK):
        yield rows[i : i + _CHUNK]["start"] + tokens[k]
    yield tokens[-1:]

  encoded = _crc(
    (
      part[i : i + _CHUNK].astype(np.int32)
      for part, _ in shards
      for i in range(0, len(part), _CHUNK)
    ),
    starts(),
    column("first", np.int32),
  )
  return _crc(
    column("id", np.int64, lambda begin, n: np.arange(begin, begin + n)),
    column("label", label_type),
    column("weight", np.float32, lambda begin, n: np.ones(n)),
    [np.array(encoded)],
  )


def _crc(*columns: Iterable[np.ndarray]) -> int:
  digest = 0
  for part in itertools.chain.from_iterable(columns):
    digest = zlib.crc32(np.ascontiguousarray(part).data, digest)
  return digest

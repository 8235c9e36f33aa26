"""Shards of a store: directories of .npy files, to be mapped into memory.

`NAME.arrays/` appears whole, and holds `tokens.npy`, the ids of all its pairs
one after the other; `pairs.npy`, a row for each pair with where its tokens
begin, how many they are, how many of them are of the first sentence, its label
and, where pairs differ in them, weight and id; and `facts.json`, which says
what both must be. `meta_data` repeats that for all shards, so that opening a
store reads one small file, and nothing of what it says follows from a pass.

Why .npy (NEP 1): pairs are read in random order, a few thousand at a time, from
pages that all workers of a host share. Of 2 M pairs of 53 tokens, 2,048 random
ones, warm (2 cores of an AMD EPYC, 2026-11-29): mapped .npy files open in 1.1
ms and are read in 0.25; Arrow IPC files, mapped, in 4.6 and 61.7 (`take`; 9.0
by a loop in Python); ArrayRecord in 9.7 and 5.1. A row has all that is known of
a pair because each page that is not in memory costs a read of the disk.
"""

import contextlib
import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.files import is_local, sha256_of, whole, write_json
from engine.formats import misfit, read_json
from tasks.data.forms import STORE

FORMAT = 1  # Raised whenever an older version would misread what is written.
TOKENS, PAIRS, FACTS = "tokens.npy", "pairs.npy", "facts.json"
_TOKEN_TYPES = ("<u2", "<i4")
_FIELDS = {"start", "length", "first", "label"}
_SHAPE = {
  "format": int,
  "place": int,
  "pairs": int,
  "tokens": int,
  "squares": int,
  "longest": int,
  "unlabelled": int,
  "counts": [int],
  "heavy": [int],
  "heaviest": int | float,
  "types": {TOKENS: str, PAIRS: [[str]]},
  "files": {str: {"bytes": int, "sha256": str}},
}


def are_stores(paths: Sequence[str]) -> bool:
  """Whether paths are of shards of a store, by their names.

  Raises:
    UserError: where only some are, or they cannot be mapped.
  """
  own = [path for path in paths if path.endswith(STORE)]
  if own and len(own) < len(paths):
    other = next(path for path in paths if path not in own)
    raise UserError(
      f"{own[0]} is a shard of a store, {other} is not: name one."
    )
  for path in own:
    check_local(path)
  return bool(own)


def pattern_of(pattern: str, split: str) -> str:
  """Returns what finds a split in the directory of a store; else `pattern`."""
  ours = os.path.join(glob.escape(pattern), f"{split}-*{STORE}")
  return ours if os.path.isdir(pattern) and glob.glob(ours) else pattern


def check_local(path: str) -> None:
  """Raises `UserError` where files cannot be mapped into memory."""
  if not is_local(path):
    raise UserError(
      f"{path} is not on a file system, and a store is mapped into memory: "
      "copy it to a disk, or encode with --format=tfrecord."
    )


def name_of(split: str, index: int, count: int) -> str:
  """Returns the name of one shard of a split."""
  return f"{split}-{index:05d}-of-{count:05d}{STORE}"


def split_of(name: str) -> str:
  """Returns the split of a shard that `name_of` has named."""
  return name.rsplit("-", 3)[0]


def write_shard(
  path: str,
  tokens: np.ndarray,
  lengths: np.ndarray,
  first: np.ndarray,
  labels: np.ndarray,
  *,
  classes: int,
  place: int,
  weights: np.ndarray,
  ids: np.ndarray,
) -> None:
  """Writes a shard, which appears whole.

  Args:
    path: of its directory.
    tokens: int [tokens of all pairs].
    lengths: int [pairs], tokens of each.
    first: int [pairs], those of `[CLS] a [SEP]`.
    labels: int32 classes or float32 scores [pairs]; -1 or NaN: none.
    classes: how many there are; 0: labels are scores.
    place: of the first of them in the split.
    weights: float32 [pairs]; all 1: none are written.
    ids: int [pairs]; as the places in the split: none are written.
  """
  small = np.dtype(np.uint16 if lengths.max(initial=0) < 2**16 else np.int32)
  fields = [("start", "<i8"), ("label", labels.dtype.str)]
  fields += [("length", small.str), ("first", small.str)]
  fields += [("weight", "<f4")] * bool((weights != 1).any())
  own = ids - place != np.arange(len(ids))
  fields += [("id", "<i8")] * bool(own.any())
  rows = np.empty(len(lengths), fields)
  rows["start"] = np.cumsum(lengths) - lengths
  rows["length"], rows["first"], rows["label"] = lengths, first, labels
  for name, values in (("weight", weights), ("id", ids)):
    if name in (rows.dtype.names or ()):
      rows[name] = values
  known = labels >= 0 if classes else ~np.isnan(labels)
  groups = labels[known].astype(int) if classes else np.zeros(known.sum(), int)
  count = lambda chosen: np.bincount(chosen, minlength=classes or 1).tolist()
  lengths = lengths.astype(np.int64)
  facts = {
    "format": FORMAT,
    "place": place,
    "pairs": len(rows),
    "tokens": int(lengths.sum()),
    "squares": int((lengths**2).sum()),
    "longest": int(lengths.max(initial=0)),
    "unlabelled": int(np.count_nonzero(~known)),
    "counts": count(groups),
    "heavy": count(groups[weights[known] > 0]),
    "heaviest": float(weights.max(initial=0)),
    "types": {TOKENS: tokens.dtype.str, PAIRS: fields},
  }
  with whole(path) as part:
    os.makedirs(part)
    arrays = {TOKENS: tokens, PAIRS: rows}
    for name, array in arrays.items():
      np.save(os.path.join(part, name), array, allow_pickle=False)
    facts["files"] = {
      name: {
        "bytes": os.path.getsize(os.path.join(part, name)),
        "sha256": sha256_of(os.path.join(part, name)),
      }
      for name in arrays
    }
    write_json(os.path.join(part, FACTS), facts)


def read_facts(path: str, classes: int) -> dict[str, Any]:
  """Reads what a shard says of itself.

  Raises:
    Unreadable, ValueError: where that is not there, or damaged.
  """
  facts = read_json(os.path.join(path, FACTS))
  return checked_facts(path, facts, classes)


def checked_facts(path: str, facts: Any, classes: int) -> dict[str, Any]:
  """Returns the facts of a shard, once they are seen to be such.

  Args:
    path: of the shard.
    facts: what is said to be them.
    classes: how many there are; 0: labels are scores.

  Raises:
    ValueError: naming what they are instead.
    UserError: where a newer version wrote the shard.
  """
  version = facts.get("format") if isinstance(facts, dict) else None
  if type(version) is int and version > FORMAT:
    raise UserError(
      f"{path} has the format {version} of a newer version, and this one reads "
      f"{FORMAT}: take that version, or encode again with this one."
    )
  if wrong := misfit(facts, _SHAPE):
    raise ValueError(wrong)
  if facts["types"][TOKENS] not in _TOKEN_TYPES:
    raise ValueError(f"its tokens are {facts['types'][TOKENS]!r}")
  if not {x[0] for x in facts["types"][PAIRS] if len(x) == 2} >= _FIELDS:
    raise ValueError(f"its pairs have {facts['types'][PAIRS]}")
  pairs, counts, heavy = (facts[x] for x in ("pairs", "counts", "heavy"))
  good = 0 < pairs == facts["unlabelled"] + sum(counts)
  good &= len(counts) == len(heavy) == (classes or 1)
  good &= all(0 <= x <= n for x, n in zip(heavy, counts, strict=False))
  good &= min(facts["unlabelled"], facts["place"]) >= 0
  if not good or pairs * facts["squares"] < facts["tokens"] ** 2:
    raise ValueError("its counts are not those of pairs")
  if {*facts["files"]} != {TOKENS, PAIRS}:
    raise ValueError(f"its files are {sorted(facts['files'])}")
  return facts


def check_sizes(path: str, facts: Mapping[str, Any]) -> None:
  """Raises `ValueError` or `OSError` where a file is cut off or missing."""
  for name, said in facts["files"].items():
    found = os.path.getsize(os.path.join(path, name))
    if found != said["bytes"]:
      raise ValueError(f"{name} has {found} of {said['bytes']} bytes")


def check_digests(path: str, facts: Mapping[str, Any]) -> None:
  """As `check_sizes`, and reads every byte."""
  check_sizes(path, facts)
  for name, said in facts["files"].items():
    if sha256_of(os.path.join(path, name)) != said["sha256"]:
      raise ValueError(f"the SHA-256 of {name} is another than when encoded")


def map_shard(
  path: str, facts: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
  """Maps tokens and pairs of a shard into memory, and reads none of them.

  Raises:
    ValueError, OSError: where they are not what the facts say.
  """
  check_sizes(path, facts)
  found = []
  for name, count in ((TOKENS, facts["tokens"]), (PAIRS, facts["pairs"])):
    array = np.load(os.path.join(path, name), mmap_mode="r", allow_pickle=False)
    said = facts["types"][name]
    type_ = said if isinstance(said, str) else [tuple(x) for x in said]
    if array.shape != (count,) or array.dtype != np.dtype(type_):
      raise ValueError(f"{name} has {array.shape} of {array.dtype}")
    found.append(array)
  return found[0], found[1]


@contextlib.contextmanager
def damage_named(path: str) -> Iterator[None]:
  """Turns whatever is wrong with a shard into one `UserError`."""
  try:
    yield
  except UserError:
    raise
  except (OSError, ValueError, TypeError) as error:
    why = getattr(error, "strerror", None) or str(error)[:90]
    raise UserError(
      f"{path} is damaged ({why}): remove it, and give the "
      "launch.encode command again."
    ) from error

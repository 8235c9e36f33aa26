"""Indices of large text files, kept in a cache: one pass over them ever.

Files are known again by their size, their inode, the times at which content and
status last changed, and a checksum of 64 parts of them: what keeps all of these
is trusted. The index has a checksum of its own.

It is two files of safetensors, mapped into memory, which appear whole: rows,
and beside them the digests of sentences. One that does not fit is made anew,
and the log says why.
"""

import hashlib
import json
import os
import zlib
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from absl import logging

from engine.errors import Missing, Unreadable, UserError, words_of
from engine.files import (
  ABANDONED,
  DISK_ERRORS,
  cache_directory,
  reason_of,
  sweep_parts,
  whole,
)
from engine.formats import NUMBER, misfit, size_of
from tasks.data.forms import say_once
from tasks.data.row_index import RowIndex
from tasks.data.sentences import Sentences
from tasks.data.tables import Table

FORMAT = 1  # Raised whenever an older version would misread what is written.
_PARTS, _PART = 64, 2**12  # Of a file that are looked at, and bytes of each.
_FACTS = {
  "format": int,
  "of": str,
  "files": [[int]],
  "bounds": [int],
  "firsts": [int],
  "rows": int,
  "names": [str],
  "places": [str],
  "scores": [NUMBER],
  "weights": [NUMBER],
  "why": str,
  "digest": int,
  "checksum": int,
}
_TYPES = {"U8": "u1", "U16": "<u2", "U32": "<u4", "I64": "<i8", "F32": "<f4"}


def path_of(table: Table, kind: str) -> str:
  """Returns where the index of a table is kept.

  Args:
    table: its files, and which rows and columns of them are read, and how.
    kind: of its labels.
  """
  key = hashlib.sha256(_key(table, kind).encode()).hexdigest()[:32]
  return os.path.join(cache_directory("rows"), f"{key}.safetensors")


def _key(table: Table, kind: str) -> str:
  paths = [os.path.abspath(path) for path in table.paths]
  return repr((paths, table.form, table.roles, table.choice, kind))


def states_of(table: Table) -> list[list[int]]:
  """Returns what the files of a table are known again by.

  Raises:
    UserError: where one cannot be read.
  """
  return [_state(path) for path in table.paths]


def _state(path: str) -> list[int]:
  checksum = 0
  try:
    with open(path, "rb") as file:
      found = os.fstat(file.fileno())
      last = max(0, found.st_size - _PART)
      for i in range(_PARTS):
        file.seek(last * i // (_PARTS - 1))
        checksum = zlib.crc32(file.read(_PART), checksum)
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error}.") from error
  times = found.st_mtime_ns, found.st_ctime_ns
  return [found.st_size, found.st_ino, *times, checksum]


def read(table: Table, kind: str) -> RowIndex | None:
  """Maps the index of a table; None where there is none that fits."""
  path = path_of(table, kind)
  try:
    return _read(path, table, kind)
  except Missing:
    return None
  except Unreadable as error:
    why = error.why
  except (
    OSError,
    safetensors.SafetensorError,
    LookupError,
    ValueError,
  ) as error:
    why = words_of(error)
  logging.warning(
    "%s: its rows are looked for anew, since the index of an earlier start is "
    "not of use: %s.",
    *(table.paths[0], why),
  )
  return None


def _read(path: str, table: Table, kind: str) -> RowIndex:
  """As `read`.

  Raises:
    Unreadable, OSError, SafetensorError, ValueError: where it does not fit.
  """
  size_of(path)
  with safetensors.safe_open(path, framework="numpy") as file:
    facts = json.loads((file.metadata() or {}).get("facts", "null"))
  version = facts.get("format") if isinstance(facts, dict) else None
  if type(version) is int and version > FORMAT:
    raise ValueError(f"{path} has the format {version} of a newer version")
  if wrong := misfit(facts, _FACTS):
    raise ValueError(f"{path} is damaged ({wrong})")
  if facts["of"] != _key(table, kind):
    raise ValueError(f"{path} is of other files or settings")
  columns = _mapped(path)
  if facts.pop("checksum") != _checksum(facts, columns):
    raise ValueError(f"{path} is damaged (its checksum is another)")
  if facts["files"] != states_of(table):
    raise ValueError("its files have changed")
  return RowIndex(facts, columns, _sentences(beside(path), facts))


def beside(path: str) -> str:
  """Returns where the digests of sentences of an index are kept."""
  return f"{path.removesuffix('.safetensors')}.sentences.safetensors"


def _sentences(path: str, facts: dict[str, Any]) -> Sentences:
  """Maps the digests of sentences.

  Raises:
    Unreadable, OSError, SafetensorError, ValueError: where they do not fit.
  """
  size_of(path)
  with safetensors.safe_open(path, framework="numpy") as file:
    said = (file.metadata() or {}).get("checksum")
  columns = _mapped(path)
  pairs = facts["bounds"][-1]
  if said != str(_checksum({}, columns)) or any(
    x.shape != (pairs,) for x in columns.values()
  ):
    raise ValueError(f"{path} is damaged (its checksum is another)")
  return Sentences(columns["first"], columns.get("second"))


def write(index: RowIndex, table: Table, kind: str) -> None:
  """Keeps an index, if the files are still those that it was made of."""
  path = path_of(table, kind)
  if index.facts["files"] != states_of(table):
    logging.warning(
      "%s has changed while its rows were read: no index of them is kept.",
      ", ".join(table.paths),
    )
    return
  try:
    facts = {**index.facts, "format": FORMAT, "of": _key(table, kind)}
    facts["checksum"] = _checksum(facts, index.columns)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for each in (beside(path), path):
      sweep_parts(each, idle=ABANDONED)
    named = index.sentences._asdict()
    digests = {name: x for name, x in named.items() if x is not None}
    said = {"checksum": str(_checksum({}, digests))}
    with whole(beside(path)) as part:
      safetensors.numpy.save_file(digests, part, said)
    with whole(path) as part:
      safetensors.numpy.save_file(
        index.columns, part, {"facts": json.dumps(facts)}
      )
  except (*DISK_ERRORS, safetensors.SafetensorError) as error:
    logging.warning(
      "%s: an index of its rows could not be kept (%s), so that each start "
      "reads all of them: set XDG_CACHE_HOME to a directory for it.",
      *(table.paths[0], reason_of(error)),
    )
  else:
    say_once(f"{table.paths[0]}: later starts find its rows by {path}.")


def _mapped(path: str) -> dict[str, np.ndarray]:
  """Maps the arrays of a file that safetensors could open."""
  with open(path, "rb") as file:
    begin = 8 + (size := int.from_bytes(file.read(8), "little"))
    header = json.loads(file.read(size))
  found = {}
  for name, said in header.items():
    if name != "__metadata__":
      first, last = said["data_offsets"]
      shape, type_ = tuple(said["shape"]), _TYPES[said["dtype"]]
      found[name] = (
        np.memmap(path, type_, "r", begin + first, shape).view(np.ndarray)
        if last > first
        else np.zeros(shape, type_)
      )
  return found


def _checksum(facts: dict[str, Any], columns: dict[str, np.ndarray]) -> int:
  digest = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
  for name in sorted(columns):
    digest = zlib.crc32(np.ascontiguousarray(columns[name]).data, digest)
  return digest

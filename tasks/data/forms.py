"""Which files a pattern means, and what lies in them by name and settings."""

import bz2
import collections
import dataclasses
import functools
import glob
import gzip
import io
import lzma
import os
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Literal

import tensorflow as tf
from absl import logging

from engine.errors import UserError, one_line, shortened

Kind = Literal["tsv", "csv", "jsonl"]

# Ending of a packed file -> what opens it.
PACKERS: Mapping[str, Callable[[IO[bytes]], io.BufferedIOBase]] = {
  ".gz": gzip.open,
  ".bz2": bz2.open,
  ".xz": lzma.open,
}
STORE = ".arrays"  # Ends the names of directories that stand for a file.
_KINDS: dict[str, Kind] = {
  ".tsv": "tsv",
  ".txt": "tsv",
  ".csv": "csv",
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".json": "jsonl",
}


@dataclasses.dataclass(frozen=True)
class Form:
  """How rows lie in a file.

  Attributes:
    kind: of the file.
    quoting: whether quotes can hold delimiters and ends of lines.
    columns: their names, where no first line says them.
  """

  kind: Kind
  quoting: bool = False
  columns: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class FormSettings:
  """What a user says of the form of text files.

  Attributes:
    kind: of the files; "auto": as their names end.
    quoting: on, off, or "auto": CSV has quotes, TSV has not.
    columns: as `Form.columns`.
  """

  kind: Kind | Literal["auto"] = "auto"
  quoting: Literal["auto", "on", "off"] = "auto"
  columns: Sequence[str] = ()

  def form_of(self, path: str) -> Form:
    """Returns the form of a file.

    Raises:
      UserError: where neither the user nor its name says what it holds.
    """
    stem, ending = os.path.splitext(path.lower())
    if ending in PACKERS:
      ending = os.path.splitext(stem)[1]
    if self.kind == "auto" and ending not in _KINDS:
      raise UserError(
        f"{path} ends neither in .tsv, .csv nor .jsonl (.gz, .bz2 or .xz "
        "behind it): say what it holds by --file_format=tsv, csv or jsonl."
      )
    kind = _KINDS[ending] if self.kind == "auto" else self.kind
    quotes = self.quoting == "on" or (self.quoting == "auto" and kind == "csv")
    return Form(kind, quotes, tuple(self.columns))


def find_files(pattern: str, setting: str) -> list[str]:
  """Returns the files of a pattern: paths and globs, with commas between.

  What is there is meant by its own name, whatever signs that has.

  Raises:
    UserError: where a part of it finds none, or what is no file.
  """
  found: list[str] = []
  parts = [pattern] if os.path.exists(pattern) else pattern.split(",")
  while parts:
    here, used = _matching(parts[0], setting), 1
    while not here and used < len(parts):  # A comma may belong to a name.
      used += 1
      here = _local(",".join(parts[:used]))
    if not here and parts[0]:
      raise UserError(
        f"`{setting}` {shortened(parts[0], 100)} finds no file: name one that "
        "is there."
      )
    found += here
    parts = parts[used if here else 1 :]
  for path in found:
    _check_file(path, setting)
  for path, times in collections.Counter(found).items():
    if times > 1:
      say_once(
        f"`{setting}` names {path} {times} times: each of its rows is there "
        f"{times} times."
      )
  return found


def _matching(part: str, setting: str) -> list[str]:
  """Returns the files that a path or a glob means, sorted."""
  if not part or os.path.exists(part):
    return [part] if part else []
  try:
    return sorted(tf.io.gfile.glob(part)) or _local(part)
  except (tf.errors.OpError, ValueError) as error:
    raise UserError(
      f"`{setting}` {shortened(part, 100)} cannot be read: {error}."
    ) from error


def _local(part: str) -> list[str]:
  """As `_matching`, in a directory whose own name may have brackets."""
  if os.path.exists(part):
    return [part]
  folder, name = os.path.split(part)
  return sorted(glob.glob(os.path.join(glob.escape(folder), name)))


def _check_file(path: str, setting: str) -> None:
  """Refuses what is there but cannot be read again and again."""
  if os.path.isdir(path) and not path.endswith(STORE):
    raise UserError(
      f"`{setting}` {path} is a directory: name the files in it, "
      f"{os.path.join(path, '*.tsv')} for example."
    )
  if os.path.exists(path) and not os.path.isfile(path) | os.path.isdir(path):
    raise UserError(
      f"`{setting}` {path} can be read only once, but pairs are read more "
      "often: write them to a file, and name that."
    )


def packing_of(path: str) -> str:
  """Returns how a file is packed: the ending of its name, or ""."""
  ending = os.path.splitext(path)[1].lower()
  return ending if ending in PACKERS else ""


@functools.cache
def say_once(line: str) -> None:
  """Tells what was guessed, once: a file may be opened more than once."""
  logging.warning("%s", one_line(line))

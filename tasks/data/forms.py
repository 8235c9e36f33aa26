"""Which files a pattern means, and what lies in them by name and settings."""

import bz2
import dataclasses
import gzip
import lzma
import os
from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

from engine.errors import UserError

Kind = Literal["tsv", "csv", "jsonl"]

# Ending of a packed file -> what opens it.
PACKERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
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

  kind: str = "auto"
  quoting: str = "auto"
  columns: Sequence[str] = ()

  def form_of(self, path: str) -> Form:
    """Returns the form of a file.

    Raises:
      UserError: where neither the user nor its name says what it holds.
    """
    stem, ending = os.path.splitext(path)
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

  Raises:
    UserError: where a part of it finds none.
  """
  found: list[str] = []
  for part in filter(None, pattern.split(",")):
    try:
      here = sorted(tf.io.gfile.glob(part))
    except tf.errors.OpError as error:
      raise UserError(f"`{setting}` {part} cannot be read: {error}.") from error
    if not here:
      raise UserError(
        f"`{setting}` {part} finds no file: name one that is there."
      )
    found += here
  return found


def is_packed(path: str) -> bool:
  """Whether a file must be unpacked to be read."""
  return path.endswith(tuple(PACKERS))

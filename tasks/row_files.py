"""Text files of rows with named columns: TSV, CSV and JSON lines, packed too.

A row begins at a byte (of the unpacked file), from which it can be read again.
"""

import bz2
import contextlib
import csv
import gzip
import json
import lzma
import os
from collections.abc import Iterator
from typing import IO, Any

import tensorflow as tf

from engine.errors import UserError
from tasks.pairs import decode

MEND = "mend the line, or pass over such lines with --skip_bad_lines."

_PACKERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_FORMS = {
  ".tsv": "tsv",
  ".txt": "tsv",
  ".csv": "csv",
  ".jsonl": "json",
  ".ndjson": "json",
  ".json": "json",
}


class DamagedFile(UserError):
  """What comes behind a place cannot be read."""


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


def has_quotes(path: str, quoting: str) -> bool:
  """Whether fields of a file may be quoted; "auto": in CSV they may."""
  return quoting == "on" or (quoting == "auto" and _form(path) == "csv")


@contextlib.contextmanager
def opened(path: str, *, quoting: bool) -> Iterator["RowFile"]:
  """Opens a file, local or not.

  Args:
    path: of the file; its ending says what it holds.
    quoting: whether fields may be quoted.

  Raises:
    UserError: where it cannot be read.
  """
  _form(path)
  try:
    with contextlib.ExitStack() as stack:
      opens = open if os.path.exists(path) else tf.io.gfile.GFile
      file = stack.enter_context(opens(path, "rb"))
      unpack = _PACKERS.get(os.path.splitext(path)[1])
      if unpack:
        file = stack.enter_context(unpack(file))
      yield RowFile(file, path, quoting=quoting)
  except (OSError, tf.errors.OpError) as error:
    raise UserError(f"{path} cannot be read: {error}.") from error


class RowFile:
  """An open file at the beginning of a row.

  Attributes:
    offset: bytes before the next row.
    line: number of its first line.
    columns: names of the columns; those of the first row, in JSON lines.
  """

  def __init__(self, file: IO[bytes], path: str, *, quoting: bool):
    self._file, self._path, self._form = file, path, _form(path)
    self._quoting = quoting
    self.offset, self.line = 0, 1
    self._records = self._parsed()
    first = next(self._records, None)
    if not first:
      raise UserError(f"{path} is empty: name a file with pairs.")
    self.columns = list(first)
    if self._form == "json":
      self.seek(0, 1)

  def seek(self, offset: int, line: int) -> None:
    """Goes to a row that begins there."""
    self._file.seek(offset)
    self.offset, self.line = offset, line

  def next_row(self) -> dict[str, Any] | None:
    """Returns the next row, {} for an empty line, None at the end.

    Raises:
      UserError: naming file and line, where it is none. The next call goes on
        behind it.
    """
    place = self.place
    try:
      record = next(self._records, None)
    except UserError:
      self._records = self._parsed()  # A generator that raised is at its end.
      raise
    if not record or self._form == "json":
      return None if record is None else dict(record)
    if len(record) != len(self.columns):
      raise UserError(
        f"{place}: {len(record)} columns, but the header has "
        f"{len(self.columns)}: {MEND}"
      )
    return dict(zip(self.columns, record, strict=True))

  @property
  def place(self) -> str:
    """`file, line number` of the next row."""
    return f"{self._path}, line {self.line}"

  def _parsed(self) -> Iterator[list[str] | dict[str, Any]]:
    """Yields the fields of each row; nothing is read ahead."""
    if self._form == "json":
      yield from map(self._json, self._lines())
      return
    delimiter = "\t" if self._form == "tsv" else ","
    if not self._quoting:
      for line in self._lines():
        yield line.split(delimiter) if line else []
      return
    lines = (f"{line}\n" for line in self._lines())
    try:
      yield from csv.reader(lines, delimiter=delimiter, strict=True)
    except csv.Error as error:
      raise UserError(
        f"{self._path}, line {self.line - 1}: {error}: {MEND[:-1]}, or read "
        "without quotes by --quoting=off."
      ) from error

  def _json(self, line: str) -> dict[str, Any]:
    try:
      record = json.loads(line) if line.strip() else {}
      if not isinstance(record, dict):
        raise ValueError("it is something else")
    except ValueError as error:
      raise UserError(
        f"{self._path}, line {self.line - 1}: no JSON object ({error}): {MEND}"
      ) from error
    return record

  def _lines(self) -> Iterator[str]:
    while raw := self._raw():
      place = self.place
      self.offset += len(raw)
      self.line += 1
      yield decode(raw, place)

  def _raw(self) -> bytes:
    try:
      return self._file.readline()
    except (EOFError, OSError, lzma.LZMAError, tf.errors.OpError) as error:
      raise DamagedFile(
        f"{self.place}: {error}: the file is damaged, bring back a whole one."
      ) from error


def _form(path: str) -> str:
  stem, ending = os.path.splitext(path)
  if ending in _PACKERS:
    ending = os.path.splitext(stem)[1]
  if ending not in _FORMS:
    raise UserError(
      f"{path} ends neither in .tsv, .csv nor .jsonl (.gz, .bz2 or .xz behind "
      "it): rename it to what it holds."
    )
  return _FORMS[ending]

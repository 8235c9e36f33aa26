"""Text files of rows with named columns: TSV, CSV and JSON lines, packed too.

A row begins at a byte (of the unpacked file), from which it can be read again.
"""

import contextlib
import csv
import json
import lzma
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import tensorflow as tf

from engine.errors import UserError
from tasks.data.forms import PACKERS, Form

MEND = "mend the line, or pass over such lines with --skip_bad_lines."

_DELIMITERS = {"tsv": "\t", "csv": ","}
_MARK = b"\xef\xbb\xbf"  # Of UTF-8, at the beginning of a file.


class DamagedFile(UserError):
  """What comes behind a place cannot be read."""


@contextlib.contextmanager
def opened(path: str, form: Form) -> Iterator["RowFile"]:
  """Opens a file, local or not.

  Raises:
    UserError: where it cannot be read.
  """
  try:
    with contextlib.ExitStack() as stack:
      opens = open if os.path.exists(path) else tf.io.gfile.GFile
      file = stack.enter_context(opens(path, "rb"))
      unpack = PACKERS.get(os.path.splitext(path)[1])
      if unpack:
        file = stack.enter_context(unpack(file))
      yield RowFile(file, path, form)
  except (OSError, tf.errors.OpError) as error:
    raise UserError(f"{path} cannot be read: {error}.") from error


class RowFile:
  """An open file at the beginning of a row.

  Attributes:
    path: of the file.
    columns: names of the columns; those of the first row, in JSON lines.
  """

  def __init__(self, file: IO[bytes], path: str, form: Form):
    self.path = path
    self._file, self._form = file, form
    self._offset, self._line = 0, 1
    *_, first = next(self._read(list), (None,))
    if first is None:
      raise UserError(f"{path} is empty: name a file with pairs.")
    if isinstance(first, UserError):
      raise first
    self.columns = list(form.columns) or first
    if form.columns or form.kind == "jsonl":
      self.seek(0, 1)

  def seek(self, offset: int, line: int) -> None:
    """Goes to a row that begins there."""
    self._file.seek(offset)
    self._offset, self._line = offset, line

  def rows(
    self, names: Sequence[str]
  ) -> Iterator[tuple[int, int, Sequence[Any] | UserError]]:
    """Yields the rows from here on; nothing is read ahead.

    Args:
      names: of columns, two or more; "" has "" in all rows.

    Yields:
      Bytes before the row, the number of its first line, and its values in
      these columns, None where there is none; or what is wrong with the row.

    Raises:
      UserError: where there is no such column.
      DamagedFile: where the rest of the file cannot be read.
    """
    return self._read(self._picker(names))

  def _picker(self, names: Sequence[str]) -> Callable[[Any], Any]:
    """Returns what takes values out of a row; raises `ValueError`."""
    if self._form.kind == "jsonl":
      return lambda record: record and [x and record.get(x) for x in names]
    missing = [x for x in names if x and x not in self.columns]
    if missing:
      raise UserError(
        f"{self.path} has the columns {self.columns}, but not {missing}: all "
        "files of a split must have those of the first."
      )
    columns, there = len(self.columns), "the header has"
    if self._form.columns:
      there = "--columns names"
    pick = operator.itemgetter(*((*self.columns, "").index(x) for x in names))

    def checked(fields):
      if len(fields) != columns:
        raise ValueError(f"{len(fields)} columns, but {there} {columns}")
      fields.append("")
      return pick(fields)

    return checked

  def _read(self, take: Callable[[Any], Any]) -> Iterator[Any]:
    """As `rows`, with what `take` takes out of the fields of each row."""
    kind = self._form.kind
    if self._form.quoting and kind != "jsonl":
      yield from self._quoted(_DELIMITERS[kind], take)
      return
    split = operator.methodcaller("split", _DELIMITERS.get(kind))
    parse = _parse_json if kind == "jsonl" else split
    for offset, line, raw in self._lines():
      try:
        text = raw.decode().rstrip("\r\n")
        values = take(parse(text)) if text else None
      except ValueError as error:
        yield offset, line, self._fault(line, error)
      else:
        if values:
          yield offset, line, values

  def _quoted(
    self, delimiter: str, take: Callable[[Any], Any]
  ) -> Iterator[Any]:
    """As `_read`, where fields may have quotes, and rows several lines."""
    while True:
      offset, line = self._offset, self._line
      lines = (raw.decode() for *_, raw in self._lines())
      try:
        fields = next(csv.reader(lines, delimiter=delimiter, strict=True), None)
        if fields is None:
          return
        values = take(fields) if fields else None
      except DamagedFile:  # Which no row is to blame for.
        raise
      except UnicodeDecodeError as error:
        yield offset, line, self._fault(self._line - 1, error)
      except csv.Error as error:
        self.seek(offset, line)
        next(self._lines())  # What is open takes no more lines with it.
        cure = "or read without quotes by --quoting=off"
        yield offset, line, self._fault(line, f"{error} ({cure})")
      except ValueError as error:
        yield offset, line, self._fault(line, error)
      else:
        if values:
          yield offset, line, values

  def _lines(self) -> Iterator[tuple[int, int, bytes]]:
    """Yields offset, number and bytes of lines; goes on behind them."""
    try:
      for raw in self._file:
        offset, line = self._offset, self._line
        self._offset, self._line = offset + len(raw), line + 1
        yield offset, line, raw if offset else raw.removeprefix(_MARK)
    except (EOFError, OSError, lzma.LZMAError, tf.errors.OpError) as error:
      raise DamagedFile(
        f"{self.path}, line {self._line}: {error}: the file is damaged, bring "
        "back a whole one."
      ) from error

  def _fault(self, line: int, what: str | Exception) -> UserError:
    if isinstance(what, UnicodeDecodeError):
      byte = what.object[what.start]
      what = f"byte {byte:#04x} is not UTF-8 (save the file as UTF-8)"
    return UserError(f"{self.path}, line {line}: {what}: {MEND}")


def _parse_json(text: str) -> dict[str, Any]:
  try:
    record = json.loads(text) if text.strip() else {}
  except ValueError as error:
    raise ValueError(f"no JSON object ({error})") from error
  if not isinstance(record, dict):
    raise ValueError("no JSON object, but something else")
  return record

"""Text files of rows with named columns: TSV, CSV and JSON lines, packed too.

A row begins at a byte (of the unpacked file), from which it can be read again.
"""

import contextlib
import csv
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from engine.errors import UserError, shortened
from tasks.data.forms import Form, say_once
from tasks.data.json_lines import parse_record, value_of
from tasks.data.line_files import DamagedFile, LineFile, not_utf8, opened_lines

MEND = "mend the line, or pass over such lines with --skip_bad_lines."

_DELIMITERS = {"tsv": "\t", "csv": ","}
# Characters of a field: what stays open must end somewhere. For all of `csv`,
# which has no other way to say it.
csv.field_size_limit(2**26)

# Bytes before a row, the number of its first line, and what was taken of it.
Found = tuple[int, int, Any]


@contextlib.contextmanager
def opened(path: str, form: Form) -> Iterator["RowFile"]:
  """Opens a file, local or not.

  Raises:
    UserError: where it cannot be read.
  """
  with opened_lines(path, quoted=form.quoting) as lines:
    yield RowFile(lines, form)


def header_fault(path: str, name: str) -> UserError:
  """Returns what is wrong with naming the columns of a file with a header."""
  return UserError(
    f"{path} has a header, as {name!r} in its first row shows, and --columns "
    "is for files without one: leave it out, and name columns by "
    "--text_a=COLUMN, --text_b=COLUMN and the like."
  )


class RowFile:
  """An open file at the beginning of a row.

  Attributes:
    path: of the file.
    columns: names of the columns; those of the first row, in JSON lines.
  """

  def __init__(self, lines: LineFile, form: Form):
    self.path = lines.path
    self._lines, self._form = lines, form
    has_header = form.kind != "jsonl" and not form.columns
    self.columns = list(form.columns) or self._first(may_be_bad=not has_header)
    if form.columns and form.kind != "jsonl":
      self._check_headless()
    if not has_header:
      self.seek(0, 1)

  def _check_headless(self) -> None:
    """Refuses a header that would be read as a row."""
    first: Any = next((row for *_, row in self._read(list) if row), [])
    if isinstance(first, UserError):
      return  # Whoever reads the row says what is wrong.
    for name, field in zip(self.columns, first, strict=False):
      if name and name.casefold() == field.strip().casefold():
        raise header_fault(self.path, field)

  def _first(self, *, may_be_bad: bool) -> list[str]:
    """Returns the names in the first row, or in the first good one."""
    fault: UserError | None = None
    for *_, row in self._read(list):
      if isinstance(row, UserError):
        fault = fault or row
      elif row:
        return row
      if not may_be_bad:
        break
    raise fault or UserError(f"{self.path} is empty: name a file with pairs.")

  @property
  def offset(self) -> int:
    """Bytes before the row that comes next."""
    return self._lines.offset

  def seek(self, offset: int, line: int) -> None:
    """Goes to a row that begins there."""
    self._lines.seek(offset, line)

  def rows(
    self, names: Sequence[str]
  ) -> Iterator[tuple[int, int, Sequence[Any] | UserError]]:
    """Yields the rows from here on; nothing is read ahead.

    Blank lines are none.

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
      return lambda record: [x and value_of(record, x) for x in names]
    missing = [x for x in names if x and x not in self.columns]
    if missing:
      raise UserError(
        f"{self.path} has the columns {shortened(self.columns, 100)}, but not "
        f"{missing}: all files of a split must have those of the first."
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

  def _read(self, take: Callable[[Any], Any]) -> Iterator[Found]:
    """As `rows`, with what `take` takes out of the fields of each row."""
    kind = self._form.kind
    if self._form.quoting and kind != "jsonl":
      yield from self._quoted(_DELIMITERS[kind], take)
      return
    split = operator.methodcaller("split", _DELIMITERS.get(kind))
    parse = parse_record if kind == "jsonl" else split
    for offset, line, raw in self._lines:
      try:
        text = raw.decode().rstrip("\r\n")
        fields = parse(text) if text else None
        values = None if fields is None else take(fields)
      except ValueError as error:
        yield offset, line, self._fault(line, error)
      else:
        if values is not None:
          yield offset, line, values

  def _quoted(
    self, delimiter: str, take: Callable[[Any], Any]
  ) -> Iterator[Found]:
    r"""As `_read`, where fields may have quotes, and rows several lines.

    Quotes within quotes are doubled. A row that has `\"` and cannot be read so
    is read as R's `write.table` writes it: by the row alone, so that it is the
    same from wherever the reading began.
    """
    lines = self._lines
    while True:
      offset, line = lines.offset, lines.line
      row = _Row(lines, delimiter)
      try:
        fields = row.read()
        if fields is None:
          return
        values = take(fields) if fields else None
      except DamagedFile:  # Which no row is to blame for.
        raise
      except (csv.Error, ValueError) as error:
        end = lines.offset, lines.line
        values = None
        if row.has_escapes:
          self.seek(offset, line)
          with contextlib.suppress(csv.Error, ValueError):
            values = take(_Row(lines, delimiter, escaped=True).read())
        if values is not None:
          say_once(
            f'{self.path}: rows with \\" (from line {line} on) are read as R '
            "writes quotes within quotes."
          )
        else:
          self.seek(offset, line)
          values = self._fault_of_quotes(line, error, end)
      if values is not None:
        yield offset, line, values

  def _fault_of_quotes(
    self, line: int, error: Exception, end: tuple[int, int]
  ) -> UserError:
    """Returns what is wrong with the row here, and goes behind it."""
    if isinstance(error, csv.Error):
      next(iter(self._lines))  # What is open takes no more lines with it.
      what = f"{error} (or read without quotes by --quoting=off)"
      return self._fault(line, what)
    self.seek(*end)
    if isinstance(error, UnicodeDecodeError):
      line = end[1] - 1
    return self._fault(line, error)

  def _fault(self, line: int, what: str | Exception) -> UserError:
    if isinstance(what, UnicodeDecodeError):
      what = not_utf8(what)
    return UserError(f"{self.path}, line {line}: {what}: {MEND}")


class _Row:
  """A row with quotes, from where some lines are.

  Attributes:
    has_escapes: whether a quote stood behind a backslash, once it is read.
  """

  def __init__(self, lines: LineFile, delimiter: str, *, escaped: bool = False):
    self.has_escapes = False
    self._lines, self._delimiter = lines, delimiter
    self._escaped = escaped

  def read(self) -> list[str] | None:
    """Returns its fields; None at the end of the file."""
    return next(
      csv.reader(self._texts(), delimiter=self._delimiter, strict=True), None
    )

  def _texts(self) -> Iterator[str]:
    for *_, raw in self._lines:
      text = raw.decode()
      if '\\"' in text:
        self.has_escapes = True
        if self._escaped:
          text = text.replace('\\"', '""')
      yield text

"""What is to be predicted: the rows of files, in any form that training reads.

A row is a line that the task reads. Where files have columns, the run knows
which of them it needs, and all are kept.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from engine.config import TaskConfig
from engine.errors import UserError, quoted, shortened
from launch.trained.lines import decoded
from tasks.config import SentencePairConfig
from tasks.data import cells
from tasks.data.columns import GUESS, text_columns
from tasks.data.forms import Form, FormSettings, find_files
from tasks.data.json_lines import are_json, parse_record, value_of
from tasks.data.line_files import STDIN, LineFile, opened_lines
from tasks.data.row_files import MEND, RowFile, header_fault

_HEAD = 100  # Lines that say what a file holds, where its name does not.
_TEXTS = ("text_a", "text_b")


class Row(NamedTuple):
  """What one example is read from.

  Attributes:
    place: `file, line number`.
    line: that the task reads; or what is wrong with it.
    end: bytes of the file, unpacked, before the next row.
    form: of the file: lines that are pairs and no more, a table of TSV or CSV,
      or JSON lines.
    fields: of all columns, by name; none of lines.
  """

  place: str
  line: str | UserError
  end: int
  form: Literal["lines", "tsv", "csv", "json"] = "lines"
  fields: Mapping[str, Any] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Input:
  """The rows of some files.

  Attributes:
    paths: of the files, in their order; `STDIN` is one.
    config: of the task, with what the user says of the files.
    noun: what a row holds.
    named: columns that each file must have, as the user says.
    is_headless: whether the user has named the columns of these files.
  """

  paths: Sequence[str]
  config: TaskConfig
  noun: str
  named: Sequence[str] = ()
  is_headless: bool = False

  def __iter__(self) -> Iterator[Row]:
    """Yields all rows.

    Raises:
      UserError: where a file cannot be read, has other columns than the run,
        or where there is no row.
    """
    rows = itertools.chain.from_iterable(map(self._rows_of, self.paths))
    first = next(rows, None)
    if first is None:
      raise UserError(f"`input` {', '.join(self.paths)} has no {self.noun}.")
    yield first
    yield from rows

  def _rows_of(self, path: str) -> Iterator[Row]:
    with opened_lines(path) as file:
      if isinstance(self.config, SentencePairConfig):
        yield from _rows_of_pairs(file, self.config, self)
      else:
        yield from _lines(file)

  @property
  def size(self) -> int:
    """Bytes of all files; 0 where nobody knows: of packed ones, of no files."""
    known = all(map(_is_plain, self.paths))
    return sum(map(os.path.getsize, self.paths)) if known else 0


def open_input(
  pattern: str,
  config: TaskConfig,
  noun: str,
  named: Mapping[str, str] = MappingProxyType({}),
  *,
  is_headless: bool = False,
) -> Input:
  """Finds the files of `--input`: paths and globs, or the standard input.

  Args:
    pattern: of the files.
    config: of the run's task, with what the user says of the files.
    noun: what a row holds.
    named: `text_a`, `text_b` -> the column that has it in these files.
    is_headless: whether the user has named the columns of these files.

  Raises:
    UserError: where there are none, or the run reads other sentences.
  """
  for role, column in named.items():
    reads = getattr(config, role, None)
    if not reads or not column:
      raise UserError(
        f"`{role}` is {column!r}, but the run reads "
        + (f"{role} too: name its column." if reads else "no such sentence.")
      )
  config = dataclasses.replace(config, **named)
  alone = pattern == STDIN or os.path.exists(pattern)
  paths = [pattern] if alone else find_files(pattern, "input")
  return Input(paths, config, noun, [*named.values()], is_headless)


def _is_plain(path: str) -> bool:
  return os.path.isfile(path) and not path.endswith((".gz", ".bz2", ".xz"))


def _rows_of_pairs(
  file: LineFile, config: SentencePairConfig, given: Input
) -> Iterator[Row]:
  """Yields the rows of a file, by its columns if it has some."""
  named = given.named
  kind = _kind_of(file, config.file_format)
  if kind == "jsonl":
    yield from _records(file, config, named)
    return
  settings = FormSettings(kind, config.quoting)  # type: ignore[arg-type]
  form, number = settings.form_of(file.path), 1 + bool(config.text_b)
  header = _header(file, form)
  roles = _roles(header, config, named)
  if given.is_headless and roles:
    raise header_fault(file.path, roles[0])
  if given.is_headless and not _roles(config.columns, config, named):
    raise _without_columns(file.path, config.columns, config)
  fits = given.is_headless or len(header) == len(config.columns)
  if not roles and fits:
    form = dataclasses.replace(form, columns=tuple(config.columns))
    roles = _roles(config.columns, config, named)
  is_table = form.quoting or bool(config.columns or named)
  if not roles and is_table and len(header) == number and not named:
    form = dataclasses.replace(form, columns=_TEXTS[:number])
    roles = _TEXTS[0], _TEXTS[1] if number > 1 else ""
  if roles:
    yield from _cells(RowFile(file, form), roles, form.kind)
  elif is_table:
    if not header:
      RowFile(file, form)  # It says what is wrong with the first row.
    raise _without_columns(file.path, header, config)
  else:
    yield from _lines(file)


def _roles(
  columns: Sequence[str], config: SentencePairConfig, named: Sequence[str]
) -> tuple[str, str] | None:
  """Returns the columns of the sentences, where those that are named are so."""
  found = text_columns(columns, config.text_a, config.text_b)
  return found if found and {*named} <= {*found} else None


def _kind_of(file: LineFile, said: str) -> str:
  """Returns what a file holds: tsv, csv or jsonl."""
  try:
    return FormSettings(said).form_of(file.path).kind  # type: ignore[arg-type]
  except UserError:  # Its name does not say.
    head = itertools.islice(file, _HEAD)
    lines = [raw.decode(errors="replace") for *_, raw in head]
    file.seek(0, 1)
    return "jsonl" if are_json(lines) else "tsv"


def _header(file: LineFile, form: Form) -> list[str]:
  """Returns the fields of the first row, which may be names."""
  try:
    return RowFile(file, form).columns
  except UserError:  # Whoever reads the row says what is wrong.
    return []
  finally:
    file.seek(0, 1)


def _without_columns(
  path: str, columns: Sequence[str], config: SentencePairConfig
) -> UserError:
  names = {"text_a": config.text_a, "text_b": config.text_b}
  usual = {
    "text_a": text_columns(columns, GUESS, ""),
    "text_b": text_columns(columns, "", GUESS),
  }
  lacking = [
    role
    for role, name in names.items()
    if name and name not in columns and (name != GUESS or not usual[role])
  ] or [role for role, name in names.items() if name]
  if len(columns) == 1 and "," in columns[0]:
    return UserError(
      f"{path} has one column, {quoted(columns[0])}: add --file_format=csv, if "
      "it is CSV."
    )
  called = " and ".join(x if names[x] == GUESS else names[x] for x in lacking)
  flags = " ".join(f"--{role}=COLUMN" for role in lacking)
  named, there = len(config.columns), len(columns)
  fits = named in (0, there)
  counts = "" if fits else f" (it names {named}, there are {there})"
  cure = f", or name all by --columns=... if that is no header{counts}"
  return UserError(
    f"{path} has the columns {shortened([*columns], 100)}, but none for the "
    f"sentences of the run ({called}): say which by {flags}"
    f"{cure * (columns is not config.columns)}."
  )


def _cells(file: RowFile, roles: tuple[str, str], kind: Any) -> Iterator[Row]:
  """Yields the rows of a table."""
  names = [*dict.fromkeys(file.columns)]
  if twice := [x for x in names if x and file.columns.count(x) > 1]:
    raise UserError(f"{file.path} has {quoted(twice[0])} twice: rename one.")
  for _, line, values in file.rows([*names, ""]):
    place = f"{file.path}, line {line}"
    if isinstance(values, UserError):
      yield Row(place, values, file.offset, kind)
    else:
      fields = dict(zip(names, values, strict=False))
      said = _texts_of(fields, roles, place)
      yield Row(place, said, file.offset, kind, fields)


def _records(
  file: LineFile, config: SentencePairConfig, named: Sequence[str]
) -> Iterator[Row]:
  """Yields the objects of JSON lines."""
  roles = None
  for _, number, raw in file:
    place = f"{file.path}, line {number}"
    try:
      record = parse_record(decoded(raw, place))
    except UserError as error:
      yield Row(place, error, file.offset, "json")
      continue
    except ValueError as error:
      bad = UserError(f"{place}: {error}: {MEND}")
      yield Row(place, bad, file.offset, "json")
      continue
    if record is None:
      continue
    roles = roles or _roles([*record], config, named)
    if not roles:
      raise _without_columns(file.path, [*record], config)
    said = _texts_of(record, roles, place)
    yield Row(place, said, file.offset, "json", record)


def _texts_of(
  fields: dict[str, Any], roles: tuple[str, str], place: str
) -> str | UserError:
  """Returns the line that the task reads, or what is wrong with the texts."""
  texts = {}
  try:
    for name, role, noun in zip(
      _TEXTS, roles, ("first", "second"), strict=True
    ):
      if role:
        value = value_of(fields, role)
        if value is None:
          raise ValueError(f"there is no {role}")
        texts[name] = cells.text_of(value, noun)
  except ValueError as error:
    return UserError(f"{place}: {error}: {MEND}")
  return json.dumps(texts)


def _lines(file: LineFile) -> Iterator[Row]:
  """Yields lines as they are; blank ones at the end are none."""
  blank: list[Row] = []
  for _, number, raw in file:
    place = f"{file.path}, line {number}"
    line: str | UserError
    try:
      line = decoded(raw, place)
    except UserError as error:
      line = error
    blank.append(Row(place, line, file.offset))
    if isinstance(line, UserError) or line.strip():
      yield from blank
      blank.clear()

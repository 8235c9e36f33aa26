"""Examples and predictions as lines of text."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.settings import flatten
from tasks.data.left_out import UNREADABLE
from tasks.data.line_files import not_utf8, opened_lines

_IN_A_CELL = str.maketrans("\t\n\r", "   ")


def read_lines(path: str, noun: str) -> Iterator[tuple[str, str | UserError]]:
  """Yields (place, line) of a UTF-8 file; place is `file, line number`.

  Instead of a line that is not UTF-8 there is what is wrong with it. Blank
  lines at the end are none.

  Args:
    path: of the file, packed or not; "-" is the standard input.
    noun: what a line holds.

  Raises:
    UserError: where the file is missing, damaged, or has no line.
  """
  blank: list[tuple[str, str | UserError]] = []
  has_some = False
  with opened_lines(path) as file:
    for _, number, raw in file:
      place = f"{file.path}, line {number}"
      line = _decode(raw, place)
      blank.append((place, line))
      if isinstance(line, UserError) or line.strip():
        has_some = True
        yield from blank
        blank.clear()
  if not has_some:
    raise UserError(f"`input` {path} has no {noun}.")


def _decode(raw: bytes, place: str) -> str | UserError:
  """Decodes one line, without its end."""
  try:
    return raw.decode().rstrip("\r\n")
  except UnicodeDecodeError as error:
    return UserError(f"{place}: {not_utf8(error)}.")


def described(values: Mapping[str, Any], *, as_json: bool) -> str:
  """Writes what is said of a line: with tabs, or as JSON.

  Args:
    values: texts and numbers, or lists of such; where they are in a mapping,
      their columns are `name=value`.
    as_json: whether the lines of the input were that.
  """
  if as_json:
    return json.dumps(values, default=lambda x: x.tolist())
  cells: list[str] = []
  for value in values.values():
    if isinstance(value, Mapping):
      cells += [f"{name}={_cell(x)}" for name, x in value.items()]
    else:
      cells += map(_cell, value if isinstance(value, list) else [value])
  return "\t".join(cells)


def unreadable(*, as_json: bool) -> str:
  """Returns what stands where nothing can be said of a line."""
  return json.dumps({UNREADABLE: True}) if as_json else UNREADABLE


def table(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
  """Yields a header, then a line for each row, with tabs.

  Args:
    rows: as the values of `described`, all of the same names.
  """
  for i, row in enumerate(rows):
    numbered = {
      name: dict(enumerate(value)) if isinstance(value, list) else value
      for name, value in row.items()
    }
    columns = flatten(numbered)
    if not i:
      yield "\t".join(columns)
    yield "\t".join(map(_cell, columns.values()))


def _cell(value: Any) -> str:
  """Returns a value in one cell of one line."""
  is_float = isinstance(value, float | np.floating)
  return f"{value:.4f}" if is_float else str(value).translate(_IN_A_CELL)

"""Examples and predictions as lines of text."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.settings import flatten
from tasks.data.line_files import not_utf8

_IN_A_CELL = str.maketrans("\t\n\r", "   ")


def decoded(raw: bytes, place: str) -> str:
  """Decodes one line, without its end.

  Args:
    raw: the line.
    place: of it, for complaints.

  Raises:
    UserError: where it is not UTF-8.
  """
  try:
    return raw.decode().rstrip("\r\n")
  except UnicodeDecodeError as error:
    raise UserError(f"{place}: {not_utf8(error)}.") from error


def described(values: Mapping[str, Any]) -> str:
  """Writes what is said of a line, with tabs.

  Args:
    values: texts and numbers, or lists of such; where they are in a mapping,
      their columns are `name=value`.
  """
  cells: list[str] = []
  for value in values.values():
    if isinstance(value, Mapping):
      cells += [f"{name}={cell(x)}" for name, x in value.items()]
    else:
      cells += map(cell, value if isinstance(value, list) else [value])
  return "\t".join(cells)


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
    yield "\t".join(map(cell, columns.values()))


def cell(value: Any) -> str:
  """Returns a value in one cell of one line."""
  is_float = isinstance(value, float | np.floating)
  return f"{value:.4f}" if is_float else str(value).translate(_IN_A_CELL)

"""Examples and predictions as lines of text."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import UserError
from engine.settings import flatten


def read_lines(path: str, noun: str) -> Iterator[tuple[str, str]]:
  """Yields (place, line) of a UTF-8 file; place is `file, line number`.

  Args:
    path: of the file; "-" is the standard input.
    noun: what a line holds.

  Raises:
    UserError: where the file is missing or empty, or a line is not UTF-8.
  """
  name = "standard input" if path == "-" else path
  number = 0
  for number, raw in enumerate(_raw_lines(path), 1):
    yield f"{name}, line {number}", _decode(raw, f"{name}, line {number}")
  if not number:
    raise UserError(f"`input` {path} has no {noun}.")


def _raw_lines(path: str) -> Iterator[bytes]:
  if path == "-":
    yield from sys.stdin.buffer
    return
  try:
    with tf.io.gfile.GFile(path, "rb") as file:
      yield from file
  except tf.errors.OpError as error:
    raise UserError(f"{path} cannot be read: {error.message}.") from error


def _decode(raw: bytes, place: str) -> str:
  """Decodes one line, without its end."""
  try:
    return raw.decode("utf-8-sig").rstrip("\r\n")
  except UnicodeDecodeError as error:
    raise UserError(
      f"{place}: byte {raw[error.start]:#04x} is not UTF-8: save the file as "
      "UTF-8."
    ) from error


def described(values: Mapping[str, Any], line: str) -> str:
  """Writes what is said of a line: with tabs, or as JSON if it is that.

  Args:
    values: texts and numbers, or lists of such; where they are in a mapping,
      their columns are `name=value`.
    line: of the input.
  """
  if line.lstrip().startswith("{"):
    return json.dumps(values, default=lambda x: x.tolist())
  cells: list[str] = []
  for value in values.values():
    if isinstance(value, Mapping):
      cells += [f"{name}={_cell(x)}" for name, x in value.items()]
    else:
      cells += map(_cell, value if isinstance(value, list) else [value])
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
    yield "\t".join(map(_cell, columns.values()))


def _cell(value: Any) -> str:
  is_float = isinstance(value, float | np.floating)
  return f"{value:.4f}" if is_float else str(value)

"""What is written of predictions: lines, a table, or JSON lines."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from engine.settings import flatten
from launch.trained.inputs import Row
from launch.trained.lines import cell, described
from tasks.data.json_lines import are_json
from tasks.data.left_out import UNREADABLE

Form = Literal["lines", "csv", "tsv", "json"]
_FORMS: Mapping[str, Form] = {
  ".csv": "csv",
  ".tsv": "tsv",
  ".jsonl": "json",
  ".ndjson": "json",
  ".json": "json",
}
_TEXTS = ("text_a", "text_b")


class Said(NamedTuple):
  """What the model says of a row.

  Attributes:
    row: of the input.
    values: names and values; None where the row cannot be read.
    cut: whether it is longer than the model reads; None: nobody knows.
  """

  row: Row
  values: Mapping[str, Any] | None
  cut: bool | None = None


def form_of(path: str) -> Form | None:
  """Returns the form that the name of an output asks for, if it does."""
  return _FORMS.get(os.path.splitext(path.lower())[1])


class Written:
  """The lines of an output, one after the other.

  A table has the columns of its first row, and what is said last. JSON lines
  are each by themselves.

  Attributes:
    form: of the output; None until the first row says what the input is.
    columns: of a table, once they are known.
    left_out: columns of later rows that the table has not.
  """

  def __init__(
    self,
    form: Form | None = None,
    columns: Sequence[str] = (),
    left_out: Sequence[str] = (),
  ):
    self.form, self.columns = form, list(columns)
    self.left_out = dict.fromkeys(left_out)
    self._names: dict[str, str] = {}
    self._waiting = 0  # Rows that cannot be read, before a table has columns.

  def lines(self, said: Sequence[Said]) -> Iterator[str]:
    """Yields what is written of rows, a line or a row of a table each."""
    self.form = self.form or _like(said)
    for each in said:
      if self.form == "json":
        fields = _fields(each)
        told = {_free(k, fields): v for k, v in _told(each).items()}
        named = {UNREADABLE: True} if each.values is None else fields | told
        yield json.dumps(named, default=lambda x: x.tolist())
      elif self.form == "lines":
        values = each.values
        yield UNREADABLE if values is None else described(values)
      else:
        yield from self._row(each)

  def rest(self) -> Iterator[str]:
    """Yields what waits for a row that can be read, where none came."""
    if self._waiting:
      yield "label"
      yield from [UNREADABLE] * self._waiting

  def _row(self, said: Said) -> Iterator[str]:
    """Yields the header where it is due, and the row."""
    if said.values is None:
      if self.columns:
        yield self._unread()
      self._waiting += not self.columns
      return
    fields = _fields(said)
    named = self._said_in if self.columns else lambda name: _free(name, fields)
    told = flatten({named(k): v for k, v in _told(said).items()})
    row = {k: _as_given(v) for k, v in fields.items()}
    if self.columns:
      lost = (k for k in row if k in told or k not in self.columns)
      self.left_out |= dict.fromkeys(lost)
    row |= {name: cell(value) for name, value in told.items()}
    if not self.columns:
      self.columns = [*row]
      yield self._joined(self.columns)
      yield from [self._unread()] * self._waiting
      self._waiting = 0
    yield self._joined([row.get(name, "") for name in self.columns])

  def _unread(self) -> str:
    """A row whose prediction says that there is none."""
    cells = [""] * len(self.columns)
    cells[self._place(self._said_in("label"))] = UNREADABLE
    return self._joined(cells)

  def _said_in(self, name: str) -> str:
    """Returns what the table calls a value that the model says.

    The input had all the shorter names, and its columns come before.
    """
    if name not in self._names:
      names = [name]
      while self._place(longer := f"predicted_{names[-1]}") >= 0:
        names.append(longer)
      self._names[name] = max(names, key=self._place)
    return self._names[name]

  def _place(self, name: str) -> int:
    """Returns the last column of a value of this name; -1: there is none."""
    has = [_is_of(column, name) for column in self.columns]
    return max((i for i, x in enumerate(has) if x), default=-1)

  def _joined(self, cells: Sequence[str]) -> str:
    if self.form == "tsv":
      return "\t".join(map(cell, cells))
    text = io.StringIO()
    csv.writer(text).writerow(cells)  # Quotes what its end of lines has.
    return text.getvalue().removesuffix("\r\n")


def _like(said: Sequence[Said]) -> Form:
  """Returns the form in which rows came."""
  form = said[0].row.form
  given = [str(each.row.line) for each in said]
  return "json" if form == "lines" and are_json(given) else form


def _fields(said: Said) -> dict[str, Any]:
  """Returns the columns of a row: those of its file, or its sentences."""
  values = said.values or {}
  return dict(said.row.fields) or {x: values[x] for x in _TEXTS if x in values}


def _free(name: str, taken: Iterable[str]) -> str:
  """Returns a name for what is said that the file does not have."""
  while any(_is_of(column, name) for column in taken):
    name = f"predicted_{name}"
  return name


def _is_of(column: str, name: str) -> bool:
  """Whether a column has a value, or a part of one, as `probabilities.yes`."""
  return column == name or column.startswith(f"{name}.")


def _told(said: Said) -> dict[str, Any]:
  """Returns what is said of a row."""
  told: dict[str, Any] = {}
  for name, value in (said.values or {}).items():
    if name not in _TEXTS:
      value = dict(enumerate(value)) if isinstance(value, list) else value
      told[name] = value
  if said.cut is not None:
    told["truncated"] = said.cut
  return told


def _as_given(value: Any) -> str:
  """Returns a value of the input in a cell, as exact as it was."""
  if value is None:
    return ""
  return value if isinstance(value, str) else json.dumps(value)

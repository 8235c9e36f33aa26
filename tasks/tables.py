"""Sentence pairs in text files: which columns, which classes, which rows.

A file can be cut into ranges of rows, each read by itself: what lies in a range
is a function of the file alone.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from absl import logging

from engine.errors import UserError
from tasks.answers import Answers
from tasks.pairs import Pairs, check_sentences
from tasks.row_files import (
  MEND,
  DamagedFile,
  RowFile,
  find_files,
  has_quotes,
  opened,
)

# What columns are called in published sets, without case and punctuation.
_USUAL = {
  "text_a": (
    "texta text1 sentence1 sentencea question1 premise question 1string"
  ),
  "text_b": (
    "textb text2 sentence2 sentenceb question2 hypothesis sentence answer "
    "2string"
  ),
  "label": (
    "label labels goldlabel class target quality isduplicate "
    "entailmentjudgment entailmentlabel"
  ),
}
GUESS = "auto"
_MOST_CLASSES = 1000
_FRACTION = r"[+-]?\d+\.\d*[1-9]\d*"


class Row(NamedTuple):
  """One pair of a file.

  Attributes:
    place: `file, line number`, for complaints.
    text_a: the first sentence.
    text_b: the second one; "" where there is one only.
    label: as the file has it; None where no column has labels.
    weight: of the pair in training.
  """

  place: str
  text_a: str
  text_b: str
  label: str | None
  weight: float = 1.0


class Cut(NamedTuple):
  """Rows in a row of one file.

  Attributes:
    path: of the file.
    offset: bytes before the first row, unpacked.
    line: its line number.
    count: good rows from there on.
  """

  path: str
  offset: int
  line: int
  count: int


@dataclasses.dataclass
class Table:
  """The rows of some files of one form.

  Attributes:
    paths: of the files, in their order.
    text_a: column of the first sentences.
    text_b: column of the second ones; "" where there is one sentence only.
    label: column of the labels; "" where there is none.
    weight: column of the weights; "": all weigh the same.
    only: column, and the value that rows must have there to be read.
    unlabelled: the label of rows that nobody knows: they are left out.
    quoting: whether quotes can hold tabs, commas and ends of lines.
    skips: whether a bad row is passed over, not the end.
    bad: rows passed over in the last pass over the files.
  """

  paths: Sequence[str]
  text_a: str
  text_b: str
  label: str
  weight: str = ""
  only: tuple[str, str] | None = None
  unlabelled: str | None = None
  quoting: bool = False
  skips: bool = False
  bad: int = 0

  def rows(self) -> Iterator[Row]:
    """Yields the rows of all files.

    Raises:
      UserError: naming file and line, at the first fault.
    """
    self.bad = 0
    for path in self.paths:
      with opened(path, quoting=self.quoting) as file:
        yield from (row for *_, row in self._rows(file))

  def read(self, cut: Cut) -> Iterator[Row]:
    """Yields the rows of a range."""
    with opened(cut.path, quoting=self.quoting) as file:
      file.seek(cut.offset, cut.line)
      for count, (*_, row) in enumerate(self._rows(file), 1):
        yield row
        if count == cut.count:
          return
    raise UserError(f"{cut.path} has changed while it was read: start again.")

  def cuts(
    self, size: int, look: Callable[[Row], Any] = lambda row: None
  ) -> Iterator[Cut]:
    """Yields ranges that hold all rows in order.

    Args:
      size: most rows of a range.
      look: is called with each row.
    """
    self.bad = 0
    for path in self.paths:
      with opened(path, quoting=self.quoting) as file:
        begun, count = (0, 0), 0
        for offset, line, row in self._rows(file):
          begun = begun if count else (offset, line)
          look(row)
          count += 1
          if count == size:
            yield Cut(path, *begun, count)
            count = 0
        if count:
          yield Cut(path, *begun, count)

  def _rows(self, file: RowFile) -> Iterator[tuple[int, int, Row]]:
    """Yields where a row begins, and the row."""
    while True:
      offset, line, place = file.offset, file.line, file.place
      try:
        record = file.next_row()
        if record is None:
          return
        row = self._row(record, place) if record else None
      except UserError as error:
        if not self.skips or isinstance(error, DamagedFile):
          raise
        self.bad += 1
      else:
        if row:
          yield offset, line, row

  def _row(self, record: dict[str, Any], place: str) -> Row | None:
    names = (self.text_a, self.text_b, self.label, self.weight)
    if lacking := [x for x in names if x and record.get(x) is None]:
      raise UserError(f"{place}: there is no {', '.join(lacking)}: {MEND}")
    if self.only and record.get(self.only[0]) != self.only[1]:
      return None
    label = _plain(record[self.label]) if self.label else None
    if self.label and label == self.unlabelled:
      return None
    texts = [str(record[x]) for x in (self.text_a, self.text_b) if x]
    check_sentences(texts, place)
    weight = _weight(record[self.weight], place) if self.weight else 1.0
    return Row(place, texts[0], "".join(texts[1:]), label, weight)


def open_table(
  pattern: str,
  *,
  setting: str,
  text_a: str = GUESS,
  text_b: str = GUESS,
  label: str = GUESS,
  may_lack_labels: bool = False,
  weight: str = "",
  only: tuple[str, str] | None = None,
  unlabelled: str | None = None,
  quoting: str = "auto",
  skips: bool = False,
) -> Table:
  """Finds files and their columns, guessed where their names make it clear.

  Args:
    pattern: paths and globs, with commas between.
    setting: that holds the pattern, for complaints.
    text_a: column of the first sentences; or `GUESS`.
    text_b: of the second ones; "" where there are none.
    label: of the labels; "" where there are none.
    may_lack_labels: whether the named column need not be there.
    weight: of the weights, if there are any.
    only: as `Table.only`.
    unlabelled: as `Table.unlabelled`.
    quoting: auto (CSV has quotes, TSV has not), on or off.
    skips: whether a bad row is passed over.

  Raises:
    UserError: where files or columns are not there.
  """
  paths = find_files(pattern, setting)
  quotes = has_quotes(paths[0], quoting)
  columns = columns_of(paths[0], quoting=quotes)
  if may_lack_labels and label not in columns:
    label = ""
  given = {"text_a": text_a, "text_b": text_b, "label": label, "weight": weight}
  found = {
    role: _column(role, name, columns, paths[0]) for role, name in given.items()
  }
  guessed = [f"{k}={v}" for k, v in found.items() if v and given[k] == GUESS]
  if guessed:
    _say(f"{paths[0]}: took {', '.join(guessed)}.")
  return Table(
    paths,
    **found,
    only=only,
    unlabelled=unlabelled,
    quoting=quotes,
    skips=skips,
  )


@functools.cache
def _say(line: str) -> None:
  """Tells what was guessed, once: a file may be opened more than once."""
  logging.warning(line)


def columns_of(path: str, *, quoting: bool) -> list[str]:
  """Returns the names of the columns of a file."""
  with opened(path, quoting=quoting) as file:
    return file.columns


def pairs_of(rows: Iterable[Row], answers: Answers, first: int = 0) -> Pairs:
  """Collects rows.

  Args:
    rows: of a table.
    answers: what labels mean.
    first: id of the first row; the others follow.

  Raises:
    UserError: where a label is none.
  """
  texts_a, texts_b, labels, weights = [], [], [], []
  for row in rows:
    texts_a.append(row.text_a)
    texts_b.append(row.text_b)
    weights.append(row.weight)
    if row.label is not None:
      labels.append(answers.number(row.label, row.place))
  return Pairs(
    texts_a,
    texts_b if any(texts_b) else None,
    labels or None,
    range(first, first + len(texts_a)),
    weights if any(weight != 1.0 for weight in weights) else None,
  )


def find_classes(table: Table) -> tuple[str, ...]:
  """Reads the names of the classes: all labels that occur, sorted.

  Raises:
    UserError: where there are no labels, or they are no classes.
  """
  if not table.label:
    columns = columns_of(table.paths[0], quoting=table.quoting)
    raise UserError(
      f"{table.paths[0]} has the columns {columns}, none of which is called "
      "like labels: name it by --label=COLUMN."
    )
  found: set[str] = set()
  for row in table.rows():
    found.add(row.label)
    if len(found) > _MOST_CLASSES or re.fullmatch(_FRACTION, row.label):
      raise UserError(
        f"{row.place}: the label {row.label!r} of the column {table.label} "
        f"looks like a score, or is one of more than {_MOST_CLASSES}: if it "
        "is a score, add --kind=regression."
      )
  if len(found) < 2:
    raise UserError(
      f"{', '.join(table.paths)} has the labels {sorted(found)}: classes must "
      "be two or more."
    )
  whole = all(re.fullmatch(r"[+-]?\d+", name) for name in found)
  return tuple(sorted(found, key=int if whole else None))


def _column(role: str, name: str, columns: list[str], path: str) -> str:
  """Returns the column of a role: the named one, or the one that is clear."""
  if name != GUESS:
    if name and name not in columns:
      raise UserError(
        f"`{role}` is {name!r}, but {path} has the columns {columns}."
      )
    return name
  usual = _USUAL[role].split()
  fits = [x for x in columns if re.sub("[^a-z0-9]", "", x.lower()) in usual]
  if len(fits) == 1:
    return fits[0]
  if role == "label" and not fits:
    return ""
  why = (
    f"each of {fits} could be" if fits else "none of which is called as usual:"
  )
  raise UserError(
    f"{path} has the columns {columns}, {why} `{role}`: name it by "
    f"--{role}=COLUMN."
  )


def _weight(value: Any, place: str) -> float:
  try:
    weight = float(value)
  except (TypeError, ValueError):
    weight = -1.0
  if not 0.0 <= weight < float("inf"):
    raise UserError(f"{place}: the weight {value!r} is no number of 0 or more.")
  return weight


def _plain(value: Any) -> str:
  """A label as text; 1.0 and true are 1, as libraries write it."""
  if isinstance(value, bool) or (
    isinstance(value, float) and value.is_integer()
  ):
    return str(int(value))
  return str(value).strip()

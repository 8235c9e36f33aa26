"""Sentence pairs in text files: their rows, in all or in ranges.

A file can be cut into ranges of rows, each read by itself: what lies in a range
is a function of the file alone.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from engine.errors import UserError
from tasks.answers import Answers
from tasks.data import cells
from tasks.data.forms import Form
from tasks.data.left_out import LeftOut
from tasks.data.pairs import Pairs
from tasks.data.row_files import MEND, RowFile, opened


class Row(NamedTuple):
  """One pair of a file.

  Attributes:
    path: of the file.
    line: number of its first line.
    text_a: the first sentence.
    text_b: the second one; "" where there is one only.
    label: as the file has it; None where no column has labels.
    weight: of the pair in training.
    number: of the row, its id: see `LeftOut`.
  """

  path: str
  line: int
  text_a: str
  text_b: str
  label: str | None
  weight: float = 1.0
  number: int = 0

  @property
  def place(self) -> str:
    """`file, line number`, for complaints."""
    return f"{self.path}, line {self.line}"


@dataclasses.dataclass(frozen=True)
class Cut:
  """Rows in a row of one file.

  Attributes:
    path: of the file.
    offset: bytes before the first row, unpacked.
    line: its line number.
    number: its own number.
    count: good rows from there on.
  """

  path: str
  offset: int
  line: int
  number: int
  count: int


class Roles(NamedTuple):
  """Which column has what.

  Attributes:
    text_a: of the first sentences.
    text_b: of the second ones; "" where there is one sentence only.
    label: of the labels; "" where there is none.
    weight: of the weights; "": all weigh the same.
  """

  text_a: str
  text_b: str
  label: str
  weight: str = ""


@dataclasses.dataclass(frozen=True)
class Choice:
  """Which rows are read.

  Attributes:
    only: column, and the value that rows must have there.
    unlabelled: the label of rows that nobody knows: they are left out.
    skips: whether a bad row is passed over, not the end.
  """

  only: tuple[str, str] | None = None
  unlabelled: str | None = None
  skips: bool = False


@dataclasses.dataclass
class Table:
  """The rows of some files of one form.

  Attributes:
    paths: of the files, in their order.
    form: of all files.
    roles: of their columns.
    choice: of their rows.
    left: the rows left out in the last pass over the files.
  """

  paths: Sequence[str]
  form: Form
  roles: Roles
  choice: Choice = Choice()
  left: LeftOut = dataclasses.field(default_factory=LeftOut)

  def rows(self) -> Iterator[Row]:
    """Yields the rows of all files.

    Raises:
      UserError: naming file and line, at the first fault.
    """
    self.left = LeftOut()
    for path in self.paths:
      with opened(path, self.form) as file:
        yield from (row for _, row in self.rows_of(file))

  def read(self, cut: Cut) -> Iterator[Row]:
    """Yields the rows of a range."""
    self.left = LeftOut(rows=cut.number)
    with opened(cut.path, self.form) as file:
      file.seek(cut.offset, cut.line)
      for count, (_, row) in enumerate(self.rows_of(file), 1):
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
    self.left = LeftOut()
    for path in self.paths:
      with opened(path, self.form) as file:
        begun, count = (0, 0, 0), 0
        for offset, row in self.rows_of(file):
          begun = begun if count else (offset, row.line, row.number)
          look(row)
          count += 1
          if count == size:
            yield Cut(path, *begun, count)
            count = 0
        if count:
          yield Cut(path, *begun, count)

  def rows_of(self, file: RowFile) -> Iterator[tuple[int, Row]]:
    """Yields where a row of an open file begins, and the row.

    Rows that belong to another split are none of this table, and not counted.
    """
    only, left = self.choice.only, self.left
    names = [*self.roles, only[0] if only else ""]
    for offset, line, values in file.rows(names):
      number = left.rows
      try:
        if isinstance(values, UserError):
          raise values
        if only and values[-1] != only[1]:
          continue
        row = self._row(file.path, line, number, values)
      except UserError as error:
        if not self.choice.skips:
          raise
        left.bad[number] = (
          "" if left.bad else str(error).removesuffix(f": {MEND}")
        )
      else:
        if row:
          yield offset, row
        else:
          left.unlabelled.append(number)
      left.rows = number + 1

  def _row(
    self, path: str, line: int, number: int, values: Sequence[Any]
  ) -> Row | None:
    text_a, text_b, label, weight, _ = values
    roles, choice = self.roles, self.choice
    fault = lambda what: UserError(f"{path}, line {line}: {what}: {MEND}")
    try:
      word = choice.unlabelled if roles.label else None
      if word is not None and cells.is_left_out(label, word):
        return None
      if None in values:
        pairs = zip(roles, values, strict=False)
        lacking = [name for name, value in pairs if value is None]
        if lacking:
          raise ValueError(f"there is no {', '.join(lacking)}")
      return Row(
        path,
        line,
        cells.text_of(text_a, "first"),
        cells.text_of(text_b, "second") if roles.text_b else "",
        cells.label_of(label) if roles.label else None,
        cells.weight_of(weight) if roles.weight else 1.0,
        number,
      )
    except ValueError as error:
      raise fault(str(error)) from error


def pairs_of(rows: Iterable[Row], answers: Answers | None) -> Pairs:
  """Collects rows.

  Args:
    rows: of a table.
    answers: what labels mean; None: the table has none.

  Raises:
    UserError: where a label is none.
  """
  texts_a, texts_b, labels, weights, numbers = [], [], [], [], []
  for row in rows:
    numbers.append(row.number)
    texts_a.append(row.text_a)
    texts_b.append(row.text_b)
    weights.append(row.weight)
    if answers and row.label is not None:
      labels.append(answers.number(row.label, row.place))
  return Pairs(
    texts_a,
    texts_b if any(texts_b) else None,
    labels or None,
    numbers,
    weights if any(weight != 1.0 for weight in weights) else None,
  )

"""Names of classes that nobody gave: the labels that occur in a file."""

import re

from absl import logging

from engine.errors import UserError
from tasks.data.columns import columns_of
from tasks.data.tables import Row, Table

_MOST_CLASSES = 1000
_FRACTION = r"[+-]?\d+\.\d*[1-9]\d*"


class Labels:
  """Gives labels numbers as they come; at the end these are known as classes.

  Attributes:
    numbers: of the labels that occurred.
  """

  def __init__(self, column: str):
    """Initializes it; `column` has the labels."""
    self.numbers: dict[str, int] = {}
    self._column = column

  def number(self, row: Row) -> int:
    """Returns the number of a row's label.

    Raises:
      UserError: where labels are no classes.
    """
    number = self.numbers.get(row.label)
    if number is None:
      number = len(self.numbers)
      if number >= _MOST_CLASSES or re.fullmatch(_FRACTION, row.label):
        raise UserError(
          f"{row.place}: the label {row.label!r} of the column {self._column} "
          f"looks like a score, or is one of more than {_MOST_CLASSES}: if it "
          "is a score, add --kind=regression."
        )
      self.numbers[row.label] = number
    return number

  def classes(self) -> tuple[str, ...]:
    """Returns the names of the classes: all labels that occurred, sorted.

    Raises:
      UserError: where they are fewer than two.
    """
    found = self.numbers
    if len(found) < 2:
      raise UserError(
        f"`train_file` has the labels {list(found)} in its column "
        f"{self._column}: name files with pairs of two classes or more."
      )
    if len({name.lower() for name in found}) < len(found):
      logging.warning(
        "Labels of %r differ in case alone: %s.", self._column, sorted(found)
      )
    whole = all(re.fullmatch(r"[+-]?\d+", name) for name in found)
    return tuple(sorted(found, key=int if whole else None))


def find_classes(table: Table) -> tuple[str, ...]:
  """Reads the names of the classes of a file.

  Raises:
    UserError: where there are no labels, or they are no classes.
  """
  check_labelled(table)
  labels = Labels(table.roles.label)
  for row in table.rows():
    labels.number(row)
  return labels.classes()


def check_labelled(table: Table) -> None:
  """Raises `UserError` where no column has labels."""
  if not table.roles.label:
    raise UserError(
      f"{table.paths[0]} has the columns "
      f"{columns_of(table.paths[0], table.form)}, none of which is called "
      "like labels: name it by --label=COLUMN."
    )

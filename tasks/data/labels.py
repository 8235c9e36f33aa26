"""Names of classes that nobody gave: the labels that occur in a file."""

import decimal
import re

from absl import logging

from engine.errors import UserError, listed, quoted
from tasks.data.columns import columns_of
from tasks.data.tables import Table
from tasks.label_text import look, same

_MOST_CLASSES = 1000
_FRACTION = r"[+-]?(\d*\.\d*[1-9]\d*(e[+-]?\d+)?|\d+(\.\d*)?e-\d+)"
_NOTHING = ("nan", "null")  # What programs write where there is no label.


class Labels:
  """Gives labels numbers as they come; at the end these are known as classes.

  Attributes:
    numbers: of the labels that occurred.
  """

  def __init__(self, column: str):
    """Initializes it; `column` has the labels."""
    self.numbers: dict[str, int] = {}
    self._same: dict[str, str] = {}
    self._column = column

  def number(self, label: str, place: str) -> int:
    """Returns the number of a label.

    Raises:
      UserError: naming the place, where labels are no classes.
    """
    number = self.numbers.get(label)
    if number is None:
      number = len(self.numbers)
      self._check(label, place)
      self.numbers[label] = number
    return number

  def _check(self, label: str, place: str) -> None:
    """Raises `UserError` where a new label is no class of its own."""
    said = f"{place}: the label {quoted(label)} of the column {self._column}"
    score = re.fullmatch(_FRACTION, label, re.ASCII | re.IGNORECASE)
    if len(self.numbers) >= _MOST_CLASSES or score:
      raise UserError(
        f"{said} looks like a score, or is one of more than {_MOST_CLASSES}: "
        "if it is a score, add --kind=regression."
      )
    if label.lower() in _NOTHING:
      raise UserError(
        f"{said} stands for none: leave such pairs out by --unlabelled="
        f"{label}, or name all classes by --classes if it is one."
      )
    other = self._same.setdefault(same(label), label)
    if other != label:
      raise UserError(
        f"{said} is {quoted(other)} in another writing: mend one of them, or "
        "name the classes that are meant by --classes."
      )

  def classes(self) -> tuple[str, ...]:
    """Returns the names of the classes: all labels that occurred, sorted.

    Raises:
      UserError: where they are fewer than two.
    """
    found = list(self.numbers)
    if len(found) < 2:
      raise UserError(
        f"`train_file` has the labels {listed(found)} in its column "
        f"{self._column}: name files with pairs of two classes or more."
      )
    if len(set(map(look, found))) < len(found):
      case = len({name.lower() for name in found}) < len(found)
      logging.warning(
        "Labels of %r differ in %s alone: %s. Mend those that are one class.",
        *(self._column, "case" if case else "spaces or signs", sorted(found)),
      )
    whole = all(re.fullmatch(r"[+-]?\d+", name) for name in found)
    return tuple(sorted(found, key=decimal.Decimal if whole else None))


def find_classes(table: Table) -> tuple[str, ...]:
  """Reads the names of the classes of a file.

  Raises:
    UserError: where there are no labels, or they are no classes.
  """
  check_labelled(table)
  labels = Labels(table.roles.label)
  for row in table.rows():
    if row.label is not None:
      labels.number(row.label, row.place)
  return labels.classes()


def check_labelled(table: Table) -> None:
  """Raises `UserError` where no column has labels."""
  if not table.roles.label:
    raise UserError(
      f"{table.paths[0]} has the columns "
      f"{columns_of(table.paths[0], table.form)}, none of which is called "
      "like labels: name it by --label=COLUMN."
    )

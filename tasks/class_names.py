"""Which label of a file is which class."""

from collections.abc import Sequence

from absl import logging

from engine.errors import UserError, listed, quoted
from tasks.label_text import is_number, look, same


class ClassNames:
  """The names of classes, in the order of their numbers.

  A label is the class of that name; else the one class of which it is another
  writing (`tasks.label_text.same`), which is said; else it is refused.
  """

  def __init__(self, names: Sequence[str], *, given: bool):
    """Initializes it.

    Args:
      names: of the classes.
      given: whether somebody has put them in this order: then digits in files
        are places in it, unless names are numbers themselves. Published files
        say 0 and 1 where their papers have names.
    """
    self._names = tuple(names)
    self._numbers = {name: i for i, name in enumerate(names)}
    writings = [same(name) for name in names]
    self._same = {
      text: i for i, text in enumerate(writings) if writings.count(text) == 1
    }
    self._ordered = given and not any(map(is_number, names))
    if self._ordered:
      places = {str(i): i for i in range(len(names))}
      self._numbers |= places
      self._same |= places

  def number(self, label: str, place: str) -> int:
    """Returns the number of the class that a label names.

    Raises:
      UserError: naming the place, where it names none.
    """
    if label not in self._numbers:
      found = self._same.get(same(label))
      if found is None:
        raise UserError(f"{place}: {self._complaint(label)}")
      self._numbers[label] = found  # So it is said once.
      logging.warning(
        "%s: %s is read as the class %s, and so wherever it stands.",
        *(place, quoted(label), quoted(self._names[found])),
      )
    return self._numbers[label]

  def _complaint(self, label: str) -> str:
    near = [name for name in self._names if look(name) == look(label)]
    hint = f", though it looks like {quoted(near[0])}" if near else ""
    if label == "-1":
      hint = " (-1 often hides a label: choose another split)"
    cure = "mend it, name all by --classes"
    if is_number(label) and not self._ordered:
      cure += " in the order of digits"
    return (
      f"the label {quoted(label)} is none of {listed(self._names)}{hint}: "
      f"{cure}, or leave such pairs out by --unlabelled."
    )

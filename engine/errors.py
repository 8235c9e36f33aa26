"""The exceptions that doors turn into one line and an exit status.

What stands in such a line may come from anybody: `quoted`, `listed`,
`shortened` and `words_of` bound a part of it, `one_line` the whole.
"""

import re
import reprlib
from collections.abc import Collection
from typing import Any

_LONGEST = 300  # Characters of a line.
_QUOTED = 60  # Characters of a value in one,
_LISTED = 27  # of one of several,
_MOST = 4  # and how many of these.
_OP = re.compile(r"(?s)\[\[\{\{.*?\}\}\]\]|\{\{\w*node .*?\}\}|\[Op:\w+\]")


class UserError(ValueError):
  """A mistake that its user can mend: doors print it in one line, exit 2.

  The message names the thing, the value and the cure in one sentence.
  """


class Unreadable(UserError):
  """A file of which nothing can be used; the subclass says how come.

  Attributes:
    path: of the file.
    name: of the file alone.
    why: what is wrong with it, as the end of a sentence about it.
  """

  cure = ""

  def __init__(self, path: str, why: str, cure: str = ""):
    """Initializes the error.

    Args:
      path: of the file.
      why: as above.
      cure: what its user can do, if that is not what the class says.
    """
    self.path = str(path)
    self.name = self.path.rstrip("/").rsplit("/", 1)[-1]
    self.why = shortened(why, 120)
    super().__init__(f"{path} {self.why}: {cure or self.cure}.")

  @property
  def brief(self) -> str:
    """What is wrong, in few words."""
    return f"{self.name} {self.why}"


class Missing(Unreadable):
  """There is no such file."""

  cure = "bring it back from a copy, or name another one"

  def __init__(self, path: str, why: str = "is not there", cure: str = ""):
    super().__init__(path, why, cure)


class CannotBeRead(Unreadable):
  """It is there, but not to be read now: nobody knows whether it is whole."""

  cure = "see to its disk and its permissions, then give the same command"


class Damaged(Unreadable):
  """It can be read, and is not what it must be."""

  cure = "bring it back from a copy"


class PeerLost(RuntimeError):
  """Another worker ended: nobody's mistake, doors exit 75 (EX_TEMPFAIL).

  The same command goes on from the last checkpoint.
  """


class Preempted(RuntimeError):
  """The run was told to stop and has saved: doors exit 75 (EX_TEMPFAIL).

  The same command goes on at the step that it reached.
  """


class Busy(RuntimeError):
  """Another job has the directory, and is about to end: doors exit 75.

  The same command goes on behind it.
  """


class StopRequested(Exception):
  """Ends the loops at a step boundary; the message says what asked for it."""


class SaveFailed(RuntimeError):
  """What was computed could not be saved: doors exit 75 (EX_TEMPFAIL)."""


class _Repr(reprlib.Repr):
  """Writes a value without looking at all of it."""

  def __init__(self) -> None:
    super().__init__()
    self.maxdict = self.maxlist = self.maxtuple = self.maxset = 6
    self.maxstring = self.maxother = self.maxlong = _QUOTED

  def repr_int(self, x: int, level: int) -> str:
    # Python writes no more digits than some thousands.
    return repr(x) if abs(x) < 10**_QUOTED else shortened(f"{x:#x}")


def quoted(value: Any) -> str:
  """Returns a value as messages show it: `repr`, without its middle if long."""
  return shortened(_Repr().repr(value))


def listed(values: Collection[Any]) -> str:
  """Returns values in brackets, as many as fit into a message."""
  first = [shortened(quoted(value), _LISTED) for value in list(values)[:_MOST]]
  more = [f"and {len(values) - _MOST} more"] * (len(values) > _MOST)
  return f"[{', '.join([*first, *more])}]"


def shortened(value: Any, most: int = _QUOTED) -> str:
  """Returns a value as text, without its middle where that is longer."""
  text = str(value)
  if len(text) <= most:
    return text
  left = (most - 3) // 2
  return f"{text[:left]}...{text[len(text) - (most - 3 - left) :]}"


def words_of(error: BaseException, most: int = 120) -> str:
  """Returns what an error says, in one line; its class if it says nothing."""
  return shortened(without_ops(str(error)), most) or type(error).__name__


def without_ops(text: str) -> str:
  """Returns a text in one line, without the ops that TensorFlow names in it."""
  return " ".join(_OP.sub("", text).split())


def one_line(message: str, most: int = _LONGEST) -> str:
  """Returns a message as one line that a terminal shows as it is.

  Control characters are escaped. Of a message that is too long the longest
  words lose their middle, then the whole does: the thing stands at its
  beginning, the cure at its end.

  Args:
    message: any text.
    most: characters.
  """
  line = printable(shortened(" ".join(message.split()), 2**16))
  if len(line) > most:
    line = re.sub(r"\S{61,}", lambda found: shortened(found[0]), line)
  return shortened(line, most)


def printable(text: str) -> str:
  """Returns a text with all escaped that a terminal does not just show."""
  return "".join(
    x if x.isprintable() or x == "\n" else x.encode("unicode_escape").decode()
    for x in text
  )

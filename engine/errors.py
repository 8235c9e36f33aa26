"""The exceptions that doors turn into one line and an exit status.

What stands in such a line may come from anybody: `quoted` shortens a value,
`one_line` the whole.
"""

import re
import reprlib
from typing import Any

_LONGEST = 300  # Characters of a line.
_QUOTED = 60  # Characters of a value in one.


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
    self.why = why if len(why) <= 120 else f"{why[:117]}..."
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
    return repr(x) if abs(x) < 10**_QUOTED else f"{x:#x}"[: _QUOTED - 3] + "..."


def quoted(value: Any) -> str:
  """Returns a value as messages show it: `repr`, without its middle if long."""
  return _middle_cut(_Repr().repr(value), _QUOTED)


def one_line(message: str, most: int = _LONGEST) -> str:
  """Returns a message as one line that a terminal shows as it is.

  Control characters are escaped. Of a message that is too long the longest
  words lose their middle, then the whole does: the thing stands at its
  beginning, the cure at its end.

  Args:
    message: any text.
    most: characters.
  """
  line = printable(_middle_cut(" ".join(message.split()), 2**16))
  if len(line) > most:
    line = re.sub(
      r"\S{61,}", lambda found: _middle_cut(found[0], _QUOTED), line
    )
  return _middle_cut(line, most)


def printable(text: str) -> str:
  """Returns a text with all escaped that a terminal does not just show."""
  return "".join(
    x if x.isprintable() or x == "\n" else x.encode("unicode_escape").decode()
    for x in text
  )


def _middle_cut(text: str, most: int) -> str:
  if len(text) <= most:
    return text
  left = (most - 3) // 2
  return f"{text[:left]}...{text[len(text) - (most - 3 - left) :]}"


class Busy(RuntimeError):
  """Another job has the directory, and is about to end: doors exit 75.

  The same command goes on behind it.
  """

"""The pieces of a WordPiece vocabulary, as the original loaders take them.

google-research/bert and Hugging Face's libraries read `vocab.txt` line by
line: the line's number is the id, what stands around a piece is stripped, a
blank line has a number too, and of equal pieces the last one counts. Pieces
that no text can have get a name here, so that all are different, and every
later reader, however it reads, finds the same ids.
"""

import re
from collections.abc import Mapping, Sequence

from engine.errors import Missing, Unreadable, UserError, quoted, shortened
from engine.formats import read_bytes

_UNUSED = "[unused line {}]"  # Brackets and spaces are in no word.
_IN_NO_FILE = re.compile("[\r\n\ud800-\udfff]")  # That others read.
_HOLES = 1000  # Ids without a piece that a tokenizer.json may have.
_FEW = 10  # One in so many pieces of capitals alone says nothing.


def read_pieces(path: str) -> tuple[str, ...]:
  """Reads a `vocab.txt`: UTF-8, with or without a BOM, any ends of lines.

  Returns:
    The pieces, all different; the place of each is its id.

  Raises:
    UserError: where the file is missing or no such text.
  """
  return unique([line.strip() for line in read_lines(path)])


def read_lines(path: str) -> list[str]:
  """Returns the lines of a text file, without their ends.

  Raises:
    UserError: where the file is missing or no UTF-8.
  """
  try:
    text = read_bytes(path).decode("utf-8-sig")
  except Missing as error:
    raise UserError(
      f"There is no vocabulary {path}: --encoder must name a directory with "
      "vocab.txt or tokenizer.json."
    ) from error
  except (Unreadable, UnicodeDecodeError) as error:
    reason = getattr(error, "why", error)
    raise UserError(
      f"The vocabulary {path} cannot be read ({shortened(reason, 120)}): it "
      "must be UTF-8, a wordpiece a line; fetch the encoder again."
    ) from error
  text = text.replace("\r\n", "\n")
  return text.split("\n" if "\n" in text else "\r")


def pieces_of(ids: Mapping[str, int], path: str) -> tuple[str, ...]:
  """Returns the pieces of a `tokenizer.json`, as `read_pieces` does.

  Args:
    ids: piece -> id.
    path: of the file, for complaints.

  Raises:
    UserError: where they are no ids of a vocabulary.
  """
  numbers = list(ids.values())
  fit = all(type(i) is int and i >= 0 for i in numbers)
  if not fit or max(numbers, default=0) >= len(ids) + _HOLES:
    raise UserError(
      f"The ids in {path} are not 0, 1, 2, ...: fetch the encoder again."
    )
  lines = [""] * (max(numbers, default=-1) + 1)
  for piece, i in ids.items():
    if lines[i]:
      raise UserError(
        f"{path} has the id {i} for {quoted(lines[i])} and {quoted(piece)}: "
        "fetch the encoder again."
      )
    # With blanks around it, or across lines, no word is this piece.
    lines[i] = piece if piece == piece.strip() else ""
  return unique(lines)


def unique(lines: Sequence[str]) -> tuple[str, ...]:
  """Returns pieces that are all different; what follows the last is dropped.

  Args:
    lines: a piece each, blank where there is none.
  """
  count = max((i + 1 for i, line in enumerate(lines) if line), default=0)
  last = {line: i for i, line in enumerate(lines)}
  return tuple(
    line
    if line and last[line] == i and not _IN_NO_FILE.search(line)
    else _UNUSED.format(i)
    for i, line in enumerate(lines[:count])
  )


def keeps_case(pieces: Sequence[str]) -> bool:
  """Whether texts were not lower-cased for this vocabulary.

  Only pieces of letters decide: others may be special, as `<S>` is. It keeps
  case if a word has both kinds of letters, as `Berlin`; capitals alone may be
  special too (`URL`), and decide where they are more than one in ten.
  """
  words = [piece.removeprefix("##") for piece in pieces]
  cased = [x for x in words if x.isalpha() and x.lower() != x.upper()]
  capitals = [x for x in cased if x != x.lower()]
  mixed = any(len(x) > 1 and x != x.upper() for x in capitals)
  return mixed or len(capitals) * _FEW > len(cased)

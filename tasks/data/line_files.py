"""Files of lines of text, packed or not, read from any line on.

Lines end in LF or CR LF; or in CR alone, where a whole file is of that kind.
What no text can be, UTF-16, UTF-32 or packed without saying so, is refused at
once.
"""

import contextlib
import io
import lzma
import os
import re
import sys
import zlib
from collections.abc import Iterator
from typing import IO

import tensorflow as tf

from engine.errors import UserError
from tasks.data.forms import PACKERS, packing_of, say_once

STDIN = "-"

_MARK = b"\xef\xbb\xbf"  # Of UTF-8, at the beginning of a file.
_HEAD = 2**16  # Bytes that are looked at first,
_LONGEST_HEAD = 2**24  # and where they have no LF.
_MOST = 2**31  # Bytes of what can be read only once.
_CHUNK = 2**20
_PACKED = {  # How files begin.
  ".gz": rb"\x1f\x8b\x08",
  ".bz2": rb"BZh[1-9]1AY&SY",
  ".xz": rb"\xfd7zXZ\x00",
}
_ERRORS = (EOFError, OSError, lzma.LZMAError, zlib.error, tf.errors.OpError)


class DamagedFile(UserError):
  """What comes behind a place cannot be read."""


class LineFile:
  """An open file of lines, at the beginning of one.

  Attributes:
    path: of the file.
    offset: bytes before the line, unpacked.
    line: its number, from 1.
  """

  def __init__(
    self,
    file: IO[bytes] | io.BufferedIOBase,
    path: str,
    *,
    quoted: bool = False,
  ):
    """Looks at the head of a file.

    Args:
      file: can be read from any byte on.
      path: of the file, for complaints.
      quoted: whether quotes can hold ends of lines.

    Raises:
      UserError: where it is no UTF-8 at all.
    """
    self.path, self.offset, self.line = path, 0, 1
    try:
      head = file.read(_HEAD)
      while b"\r" in head and b"\n" not in head and len(head) < _LONGEST_HEAD:
        more = file.read(len(head))
        if not more:
          break
        head += more
      file.seek(0)
    except _ERRORS as error:
      raise self._damage(error) from error
    _check_utf8(head, path)
    if _ends_in_cr(head, quoted):
      say_once(f"{path}: its lines end in CR alone, and are read so.")
      file = io.BufferedReader(_CarriageReturns(file))
    self._file = file

  def seek(self, offset: int, line: int) -> None:
    """Goes to a line that begins there."""
    self._file.seek(offset)
    self.offset, self.line = offset, line

  def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
    """Yields offset, number and bytes of each line from here on.

    Nothing is read ahead: who stops goes on behind the last one.

    Raises:
      DamagedFile: where the rest of the file cannot be read.
    """
    try:
      for raw in self._file:
        offset, line = self.offset, self.line
        self.offset, self.line = offset + len(raw), line + 1
        yield offset, line, raw if offset else raw.removeprefix(_MARK)
    except _ERRORS as error:
      raise self._damage(error) from error

  def _damage(self, error: Exception) -> DamagedFile:
    return DamagedFile(
      f"{self.path}, line {self.line}: {error}: the file is damaged, bring "
      "back a whole one."
    )


def not_utf8(error: UnicodeDecodeError) -> str:
  """Says which byte of a line it is."""
  byte = error.object[error.start]
  return f"byte {byte:#04x} is not UTF-8 (save the file as UTF-8)"


@contextlib.contextmanager
def opened_lines(path: str, *, quoted: bool = False) -> Iterator[LineFile]:
  """Opens a file, local or not; `STDIN` and pipes are read to their end.

  Args:
    path: of the file.
    quoted: as `LineFile` takes it.

  Raises:
    UserError: where it cannot be read.
  """
  try:
    with contextlib.ExitStack() as stack:
      name, once = path, False
      if path == STDIN:
        name, once = "standard input", True
        file: IO[bytes] = sys.stdin.buffer
      elif os.path.exists(path):
        file = stack.enter_context(open(path, "rb"))
        once = not os.path.isfile(path)
      else:
        file = stack.enter_context(tf.io.gfile.GFile(path, "rb"))
      if once:
        file = _kept(file, name)
      yield LineFile(
        stack.enter_context(_unpacked(file, name, by_content=once)),
        name,
        quoted=quoted,
      )
  except (OSError, tf.errors.OpError) as error:
    raise UserError(f"{path} cannot be read: {error}.") from error


def _kept(file: IO[bytes], name: str) -> IO[bytes]:
  """Reads what can be read only once."""
  content = io.BytesIO()
  while chunk := file.read(_CHUNK):
    content.write(chunk)
    if content.tell() > _MOST:
      raise UserError(
        f"{name} has more than {_MOST:,} bytes: write them to a file, and name "
        "that."
      )
  content.seek(0)
  return content


@contextlib.contextmanager
def _unpacked(
  file: IO[bytes], name: str, *, by_content: bool
) -> Iterator[IO[bytes] | io.BufferedIOBase]:
  """Unpacks what is packed by its name, or by its content where it has none."""
  said, head = packing_of(name), file.read(16)
  file.seek(0)
  found = next((x for x, y in _PACKED.items() if re.match(y, head)), "")
  if by_content:
    said = found
  if said and head and found != said:
    raise UserError(
      f"{name} is not packed as its name says ({said}): bring back a whole "
      "file, or give it the name of what it is."
    )
  if found and not said:
    raise UserError(
      f"{name} is packed, but its name does not say so: let it end in {found}."
    )
  if not said:
    yield file
    return
  with PACKERS[said](file) as unpacked:
    yield unpacked


def _check_utf8(head: bytes, path: str) -> None:
  """Refuses UTF-16 and UTF-32, with a mark or without."""
  start = head[:64]
  # Places of four whose bytes are all zero: most of UTF-32, and of UTF-16 where
  # all is ASCII.
  zeros = {k for k in range(4) if len(start) > 7 and not any(start[k::4])}
  codec = ""
  if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
    codec = "UTF-32"
  elif head.startswith((b"\xff\xfe", b"\xfe\xff")):
    codec = "UTF-16"
  elif any(start) and ({0, 1} <= zeros or {2, 3} <= zeros):
    codec = "UTF-32BE" if 0 in zeros else "UTF-32LE"
  elif any(start) and ({0, 2} <= zeros or {1, 3} <= zeros):
    codec = "UTF-16BE" if 0 in zeros else "UTF-16LE"
  if codec:
    raise UserError(
      f"{path} is {codec}, not UTF-8: save it as UTF-8, or convert it by "
      f"iconv -f {codec} -t UTF-8."
    )


def _ends_in_cr(head: bytes, quoted: bool) -> bool:
  """Whether lines end in CR alone: judged by the first that ends."""
  end, newline = head.find(b"\r"), head.find(b"\n")
  if end < 0 or newline == end + 1:
    return False
  if newline < 0:
    return True
  # Old spreadsheets write LF within quotes, and CR behind each row.
  return quoted and end < newline and head.count(b'"', 0, end) % 2 == 0


class _CarriageReturns(io.RawIOBase):
  """A file whose CR are LF: each byte keeps its place."""

  def __init__(self, file: IO[bytes] | io.BufferedIOBase):
    self._packed = file

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    data = self._packed.read(len(buffer)).replace(b"\r", b"\n")
    buffer[: len(data)] = data
    return len(data)

  def seek(self, offset: int, whence: int = 0) -> int:
    self._packed.seek(offset, whence)
    return self._packed.tell()

  def tell(self) -> int:
    return self._packed.tell()

"""A log on a store that cannot append: it grows by segments.

    metrics.jsonl                 what there was at the start
    metrics.jsonl.000000000120    from line 120 on, counted from 0
    metrics.jsonl.000000000955    from line 955 on

An append writes the last segment anew, from memory; one that is full stays as
it is. So it costs what is new, however long the log is. `cat metrics.jsonl*`
joins them.
"""

import os
import re

import tensorflow as tf

from engine.files import is_file, names_in, write_atomically

_FULL = 2**17  # Characters of a segment.
_NUMBER = re.compile(r"\.(\d{12})")


class Segments:
  """The segments of a log, from where the process began."""

  def __init__(self, path: str, lines: int):
    """Begins behind the first `lines` lines, which are in `path` itself."""
    self._path = path
    self._begin = self._end = lines
    self._tail = ""

  def write(self, lines: list[str], *, again: bool) -> None:
    """Appends lines, with their ends; what failed is tried `again` as it was.

    Raises:
      OSError, tf.errors.OpError: where the store takes no more.
    """
    if len(self._tail) >= _FULL:
      self._begin, self._tail = self._end, ""
    tail = self._tail + "".join(lines)
    write_atomically(f"{self._path}.{self._begin:012d}", tail)
    self._tail = tail
    self._end += len(lines)

  def close(self) -> None:
    """Does nothing: what was written is there."""


def paths(path: str) -> dict[int, str]:
  """Number of lines before it -> path of each segment of a log, in order.

  Raises:
    OSError, tf.errors.OpError: where the directory cannot be listed.
  """
  folder, name = os.path.split(path)
  found = {}
  for entry in names_in(folder):
    match = _NUMBER.fullmatch(entry.removeprefix(name))
    if match and entry.startswith(name):
      found[int(match[1])] = os.path.join(folder, entry)
  return found


def remove(path: str) -> None:
  """Deletes the segments of a log whose lines are all in `path` now.

  Raises:
    OSError, tf.errors.OpError: where they cannot be.
  """
  for segment in reversed(paths(path).values()):
    if is_file(segment):
      tf.io.gfile.remove(segment)

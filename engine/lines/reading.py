"""Reads logs of JSON lines, and says what of them is damaged or gone."""

import contextlib
import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from engine.errors import Missing
from engine.files import is_file, is_link, sha256_of
from engine.formats import Lines, read_lines, reading, tell_once
from engine.lines import segments
from engine.lines.cover import Cover, gap_in


def read_jsonl(path: str, shape: Any = dict) -> list[dict[str, Any]]:
  """Reads JSON lines; what a killed process left unfinished is none.

  Lines that are damaged are told, and left out.

  Args:
    path: of the file; where there is none there are no lines.
    shape: of each line, see `engine.formats.misfit`.

  Raises:
    CannotBeRead: where it is there, and cannot be read now.
  """
  return read_counted(path, shape)[0]


def read_counted(
  path: str,
  shape: Any = dict,
  covers: Sequence[Cover] = (),
  *,
  set_aside: bool = False,
) -> tuple[list[dict[str, Any]], int]:
  """Reads as `read_jsonl`; returns how many lines are lost, too.

  Args:
    path: of the file.
    shape: of each line; with a step, where there are covers.
    covers: what was noted of its beginning.
    set_aside: whether a file with damaged lines is copied to `PATH.damaged`,
      `PATH.damaged.2` and so on, as it is about to be written without them.

  Returns:
    The lines, and the number of those that are damaged, gone or altered: of
    these, at least that.

  Raises:
    CannotBeRead: where it is there, and cannot be read now.
  """
  lines = _joined(path, shape)
  lost = len(lines.damaged)
  if lost:
    _tell_damaged(path, lines, set_aside)
  if gap := gap_in(lines.values, covers, lost):
    logging.warning("%s: %s.", path, gap)
    lost += max(1, gap.lines)
  return lines.values, lost


def _joined(path: str, shape: Any) -> Lines:
  """What a file and its segments hold; one that is in another is left out."""
  values: list[Any] = []
  damaged: list[int] = []
  with contextlib.suppress(Missing):
    values, damaged = read_lines(path, shape)
  with contextlib.suppress(Missing), reading(path):
    for begin, segment in segments.paths(path).items():
      count = len(values) + len(damaged)
      if begin >= count:
        found = read_lines(segment, shape)
        values += found.values
        damaged += [count + number for number in found.damaged]
  return Lines(values, damaged)


def _tell_damaged(path: str, lines: Lines, set_aside: bool) -> None:
  shown = ", ".join(map(str, lines.damaged[:5]))
  more = "" if len(lines.damaged) <= 5 else ", ..."
  count = len(lines.damaged)
  total = count + len(lines.values)
  tell_once(
    path,
    f"{path}: {count} of {total} lines are damaged and left out (line {shown}"
    f"{more}).",
  )
  if set_aside:
    parts = (path, *segments.paths(path).values())
    kept = [_set_aside(x) for x in parts if tf.io.gfile.exists(x)]
    more = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
    if kept:
      logging.warning("%s as it was is %s%s.", path, kept[0], more)


def _set_aside(path: str) -> str:
  """Copies a file to the first free name beside it; returns that.

  A copy that is there of the same file is the copy: its start was killed.
  """
  for number in itertools.count(1):
    kept = f"{path}.damaged" + (f".{number}" if number > 1 else "")
    if is_file(kept) and sha256_of(kept) == sha256_of(path):
      break
    if not is_link(kept) and not tf.io.gfile.exists(kept):
      tf.io.gfile.copy(path, kept)
      break
  return kept

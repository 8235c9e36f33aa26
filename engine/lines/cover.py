"""How many lines a log had, and which: what shows later that one is gone."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Cover(NamedTuple):
  """The beginning of a log, as it was at a moment.

  Attributes:
    lines: how many.
    step: of the last one; 0 where it has none.
    sha256: of them all, as `Tally` writes them, in hexadecimal digits.
  """

  lines: int
  step: int
  sha256: str


class Tally:
  """Counts lines as they are written.

  Attributes:
    lines: how many there were.
  """

  def __init__(self) -> None:
    self.lines, self._step = 0, 0
    self._digest = hashlib.sha256()

  def add(self, line: Mapping[str, Any]) -> str:
    """Counts a line; returns its text, with its end."""
    text = json.dumps(line) + "\n"
    self.lines += 1
    self._step = line.get("step", 0)
    self._digest.update(text.encode())
    return text

  def cover(self) -> Cover:
    """All lines so far."""
    return Cover(self.lines, self._step, self._digest.hexdigest())


class Gap(NamedTuple):
  """What is not as it was.

  Attributes:
    lines: how many are gone; 0: all are there, but some were altered.
    of: how many there were.
    since: the step up to which all are as they were.
  """

  lines: int
  of: int
  since: int

  def __str__(self) -> str:
    what = f"{self.lines} are gone" if self.lines else "some were altered"
    return f"of {self.of} lines {what}, after step {self.since}"


def gap_in(
  lines: Iterable[Mapping[str, Any]],
  covers: Sequence[Cover],
  damaged: int = 0,
) -> Gap | None:
  """Holds a log against what was noted of it; None if all is as it was.

  Args:
    lines: of the log, with their steps; later ones may follow.
    covers: of it at some moments, the longest of which counts.
    damaged: how many of its lines cannot be read, which is known.
  """
  if not covers:
    return None
  last, counts = max(covers), {cover.lines for cover in covers}
  tally, since, there = Tally(), 0, 0
  if not last.lines:
    return None
  for line in lines:
    tally.add(line)
    there += line["step"] <= last.step
    if tally.lines in counts and (cover := tally.cover()) in covers:
      since = cover.step
      if cover == last:
        return None
  gone = last.lines - there - damaged
  if gone <= 0 and damaged:
    return None
  return Gap(max(0, gone), last.lines, since)

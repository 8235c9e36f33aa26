"""What a person sees of a run that goes on."""

import os
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, TextIO

from engine.errors import printable

# In an evaluation: the metric that it is judged by, and how sure metrics are.
OF_RECORD, INTERVALS = "of_record", "intervals"
_BAR, _LEAST_BAR = 30, 5  # Characters.
_WIDTH = 80  # Of a terminal that does not know its own.


class Terminal:
  """A block of lines that renews itself; plain lines where nobody watches."""

  def __init__(
    self, *, train_steps: int, quiet: bool, stream: TextIO | None = None
  ):
    """Initializes the terminal.

    Args:
      train_steps: at which the run ends.
      quiet: whether nothing is shown.
      stream: instead of the standard output.
    """
    self._train_steps = train_steps
    self._quiet = quiet
    self._stream = stream or sys.stdout
    dumb = os.environ.get("TERM", "") in ("dumb", "unknown")
    self._live = self._stream.isatty() and not dumb
    self._block: list[str] = []  # What stands at the end of the screen.
    self._width = 0  # When that was written.
    self._last: Mapping[str, Any] = {}  # Train point, for its work.
    self._evaluation = ""

  def show(self, kind: str, step: int, point: Mapping[str, Any]) -> None:
    """Shows a log point."""
    if self._quiet:
      return
    if kind == "eval":
      old = self._evaluation
      self._evaluation = f"eval at step {step}: {scores(point)}"
      if self._block and old and old.startswith(self._block[-1]):
        self._block[-1] = self._evaluation
      self.say(self._evaluation)
    elif self._live:
      self._renew(self._lines(step, point))
    else:
      self.say(progress_line(step, self._train_steps, point))
    if kind == "train":
      self._last = point

  def say(self, text: str) -> None:
    """Prints a line that stays, above the block; it does nothing else."""
    if not self._quiet:
      self._renew(self._block, above=printable(text) + "\n")

  def close(self) -> None:
    """Lets the block stand as it is."""
    self._block = []

  def _renew(self, lines: list[str], above: str = "") -> None:
    """Writes a block over the one before it."""
    width = self._columns()
    if width != self._width:
      # Who knows where the old one is: it stays, and a new one begins.
      self._width, self._block = width, []
    over = f"\033[{len(self._block)}A\r\033[J" if self._block else ""
    self._block = [cut(line, width - 1) for line in lines]
    self._write(over + above + "".join(f"{line}\n" for line in self._block))

  def _columns(self) -> int:
    """Returns how wide the terminal is now."""
    try:
      return os.get_terminal_size(self._stream.fileno()).columns or _WIDTH
    except (OSError, ValueError):
      return _WIDTH

  def _lines(self, step: int, point: Mapping[str, Any]) -> list[str]:
    """Returns progress, loss, rates and the last evaluation, a line each."""
    total = self._train_steps
    told = (
      f"{100 * step // total}%  step {step}/{total}  "
      f"{time_left(step, total, point)}"
    )
    room = min(_BAR, self._columns() - len(told) - 4)
    done = room * step // total
    bar = f"[{'#' * done}{'.' * (room - done)}] "
    lines = [
      bar + told if room >= _LEAST_BAR else told,
      "  ".join(
        f"{name.replace('_', ' ')} {point[name]:{form}}"
        for name, form in (
          ("loss", ".4f"),
          ("learning_rate", ".1e"),
          ("gradient_norm", ".2f"),
          ("skipped_steps", "d"),
          ("skipped_batches", "d"),
        )
        if name in point
      ),
    ]
    rates = work_rates(self._last.get("work"), point.get("work"))
    if rates:
      lines.append(rates)
    if self._evaluation:
      lines.append(self._evaluation)
    return lines

  def _write(self, text: str) -> None:
    """Writes; a reader that went away does not stop the training."""
    try:
      self._stream.write(text)
      self._stream.flush()
    except BrokenPipeError:
      self._quiet = True


def cut(text: str, width: int) -> str:
  """Returns as much of a text as takes at most `width` columns."""
  taken = 0
  for i, character in enumerate(text):
    taken += 1 + (unicodedata.east_asian_width(character) in "WF")
    if taken > width:
      return text[:i]
  return text


def work_rates(
  before: Mapping[str, Any] | None, now: Mapping[str, Any] | None
) -> str:
  """Returns the rates between two log points; "" where no step was timed."""
  if not now:
    return ""
  names = ("examples", "units", "capacity", "seconds")
  old = before or dict.fromkeys(names, 0)
  examples, units, capacity, seconds = (now[x] - old[x] for x in names)
  if seconds <= 0:
    return ""
  return (
    f"{examples / seconds:.1f} examples/s  {units / seconds:,.0f} real "
    f"tokens/s  {1 - units / capacity:.1%} padding"
  )


def time_left(step: int, train_steps: int, point: Mapping[str, Any]) -> str:
  """Returns `3:21 left`; or that the rate is not known yet."""
  rate = point.get("steps_per_second")
  if not rate:
    return "compiling"
  left = int((train_steps - step) / rate)
  hours = (
    f"{left // 3600}:{left // 60 % 60:02d}" if left >= 3600 else left // 60
  )
  return f"{hours}:{left % 60:02d} left"


def progress_line(step: int, train_steps: int, point: Mapping[str, Any]) -> str:
  """Step 120/344  35%  loss 0.4321  lr 4.1e-05  23.4 examples/s  3:21 left."""
  text = (
    f"step {step}/{train_steps} {100 * step // train_steps:3d}%  "
    f"loss {point['loss']:.4f}  lr {point['learning_rate']:.1e}"
  )
  if point.get("skipped_steps"):
    text += f"  {point['skipped_steps']} overflowed"
  if point.get("steps_per_second"):
    text += f"  {point['examples_per_second']:.1f} examples/s"
  return f"{text}  {time_left(step, train_steps, point)}"


def scores(point: Mapping[str, Any]) -> str:
  """Returns `loss 0.4321  accuracy 0.8113 [0.77, 0.85] of 408  positive yes`.

  Fractions and words; the metric of record of each split has its 95 % interval
  and the number of its examples behind it.
  """
  parts = []
  for name, value in point.items():
    split, slash, metric = name.rpartition("/")
    of_split = split + slash
    if metric == OF_RECORD or not isinstance(value, float | str):
      continue
    text = (
      f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
    )
    interval = point.get(of_split + INTERVALS, {}).get(metric)
    if interval and metric == point.get(of_split + OF_RECORD):
      low, high = interval
      number = point[f"{of_split}examples_seen"]
      text += f" [{low:.4f}, {high:.4f}] of {number:,}"
    parts.append(text)
  return "  ".join(parts)

"""Where the log points of a run go: a file, TensorBoard, the terminal."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from engine.lines.cover import Cover
from engine.lines.line_file import LineFile
from engine.lines.reading import read_counted
from engine.measure.ledger import SECONDS, WORK
from engine.measure.terminal import Terminal

POINT = {  # A log point.
  "step": int,
  "kind": str,
  "ledger?": SECONDS,
  "work?": WORK,
}


class Journal:
  """Writes each log point to all three, in the order of the steps.

  `metrics.jsonl` has one JSON object a line: {"step", "kind", ...}, and after
  a resume neither a gap nor a step twice: what lies behind the restored step
  is dropped when the journal is opened.

  Attributes:
    lines: up to the restored step.
    dropped: behind it.
    lost: number of lines that are damaged or gone; a file with damaged ones is
      set aside.
    listeners: hear of each log point.
  """

  def __init__(
    self,
    directory: str,
    *,
    step: int,
    terminal: Terminal,
    writes: bool = True,
    evaluates_again: bool = False,
    covers: Sequence[Cover] = (),
  ):
    """Opens the journal of the run in `directory` at `step`.

    Args:
      directory: of the run.
      step: the restored step.
      terminal: shows what is written.
      writes: false for a worker that only keeps the lines in mind.
      evaluates_again: whether an evaluation at `step` itself is dropped too.
      covers: what checkpoints have noted of it.
    """
    path = os.path.join(directory, "metrics.jsonl")
    self._terminal = terminal
    self.step = step
    lines, self.lost = read_counted(path, POINT, covers, set_aside=writes)
    last = {"eval": step - 1} if evaluates_again else {}
    self.lines = [x for x in lines if x["step"] <= last.get(x["kind"], step)]
    self.dropped = [line for line in lines if line["step"] > step]
    self._directory, self._writes = directory, writes
    self.listeners: list[Callable[[str, int, Mapping[str, Any]], object]] = []
    if not writes:
      return
    self.file = LineFile(path, self.lines)
    self._summaries = {
      kind: tf.summary.create_file_writer(
        os.path.join(directory, "tensorboard", kind)
      )
      for kind in ("train", "eval")
    }

  def has(self, kind: str, step: int) -> bool:
    """Whether a log point is there already."""
    return any(x["kind"] == kind and x["step"] == step for x in self.lines)

  def write(self, kind: str, step: int, point: Mapping[str, Any]) -> None:
    """Writes one log point; numbers become TensorBoard scalars."""
    line = {"step": step, "kind": kind, **point}
    self.lines.append(line)
    if not self._writes:
      return
    self.file.append(line)
    with (
      contextlib.suppress(tf.errors.OpError),
      self._summaries[kind].as_default(step=step),
      tf.summary.record_if(True),  # Orbit switches it off around its steps.
    ):
      for name, value in point.items():
        if isinstance(value, int | float):
          tf.summary.scalar(name, value)
      self._summaries[kind].flush()
    self._terminal.show(kind, step, point)
    for listener in self.listeners:
      listener(kind, step, point)

  def bring_back(self, step: int) -> None:
    """Writes again what was dropped, from a step on: it stays as it was."""
    self.file.append(*(line for line in self.dropped if line["step"] >= step))

  def say(self, text: str) -> None:
    """Shows a line in the terminal."""
    self._terminal.say(text)

  def write_text(self, kind: str, step: int, name: str, text: str) -> None:
    """Writes a text in Markdown to TensorBoard."""
    with (
      contextlib.suppress(tf.errors.OpError),
      self._summaries[kind].as_default(step=step),
      tf.summary.record_if(True),
    ):
      tf.summary.text(name, text)
      self._summaries[kind].flush()

  def write_settings(self, settings: Mapping[str, Any]) -> None:
    """Writes the settings of a run to TensorBoard: a text, and for its table.

    The table of runs (HParams) has them beside the scalars of `train` and
    `eval`, which lie below.
    """
    if not self._writes:
      return
    # Imported here: it takes a moment.
    from tensorboard.plugins.hparams import api

    plain = {
      name: value if isinstance(value, bool | int | float) else str(value)
      for name, value in settings.items()
    }
    rows = [f"| {name} | `{value}` |" for name, value in plain.items()]
    with contextlib.suppress(tf.errors.OpError):
      writer = tf.summary.create_file_writer(
        os.path.join(self._directory, "tensorboard")
      )
      with writer.as_default(step=0):
        api.hparams(plain, trial_id=self._directory)
        tf.summary.text(
          "settings", "\n".join(["| | |", "| --- | --- |", *rows])
        )
      writer.close()

  def close(self) -> None:
    """Closes the files."""
    if not self._writes:
      return
    self._terminal.close()
    self.file.close()
    for writer in self._summaries.values():
      with contextlib.suppress(tf.errors.OpError):
        writer.close()

"""Where the log points of a run go: a file, TensorBoard, the terminal."""

import contextlib
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from engine.terminal import Terminal

# What a disk says that is full, gone or read-only.
DISK_ERRORS = (tf.errors.OpError, OSError)


def reason_of(error: Exception) -> str:
  """What a disk has against a write, without TensorFlow's names of ops."""
  text = re.sub(r"\{\{.*?\}\}|\[Op:\w+\]", "", " ".join(str(error).split()))
  return text.rsplit("; ", 1)[-1].strip()[-150:]


class Journal:
  """Writes each log point to all three, in the order of the steps.

  `metrics.jsonl` has one JSON object a line: {"step", "kind", ...}, and after
  a resume neither a gap nor a step twice: what lies behind the restored step
  is dropped when the journal is opened.
  """

  def __init__(
    self,
    directory: str,
    *,
    step: int,
    terminal: Terminal,
    writes: bool = True,
  ):
    """Opens the journal of the run in `directory` at `step`.

    Args:
      directory: of the run.
      step: the restored step.
      terminal: shows what is written.
      writes: false for a worker that only keeps the lines in mind.
    """
    path = os.path.join(directory, "metrics.jsonl")
    self._terminal = terminal
    self.step = step
    lines = read_jsonl(path)
    self.lines = [line for line in lines if line["step"] <= step]
    self.dropped = [line for line in lines if line["step"] > step]
    self._writes = writes
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
    ):
      for name, value in point.items():
        if isinstance(value, int | float):
          tf.summary.scalar(name, value)
      self._summaries[kind].flush()
    self._terminal.show(kind, step, point)

  def say(self, text: str) -> None:
    """Shows a line in the terminal."""
    self._terminal.say(text)

  def write_text(self, kind: str, step: int, name: str, text: str) -> None:
    """Writes a text in Markdown to TensorBoard."""
    with (
      contextlib.suppress(tf.errors.OpError),
      self._summaries[kind].as_default(step=step),
    ):
      tf.summary.text(name, text)
      self._summaries[kind].flush()

  def close(self) -> None:
    """Closes the files."""
    if not self._writes:
      return
    self._terminal.close()
    self.file.close()
    for writer in self._summaries.values():
      with contextlib.suppress(tf.errors.OpError):
        writer.close()


class LineFile:
  """A file of JSON lines that loses none while the disk is full.

  What could not be written stays in memory, and is tried again with the next
  line.
  """

  def __init__(self, path: str, lines: list[dict[str, Any]]):
    """Makes the file hold exactly `lines`."""
    self.path = path
    self._written = len(lines)
    self._waiting: list[str] = []
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines))
    self._file = tf.io.gfile.GFile(path, "a")

  def append(self, *lines: dict[str, Any]) -> None:
    """Appends lines; they are in the hands of the system on return."""
    fresh = [json.dumps(line) + "\n" for line in lines]
    failed_before = bool(self._waiting)
    self._waiting += fresh
    try:
      if failed_before:
        self._mend()
      else:
        self._file.write("".join(fresh))
        self._file.flush()
      self._written += len(self._waiting)
      self._waiting = []
    except DISK_ERRORS as error:
      if not failed_before:
        logging.warning(
          "%s cannot be written (%s): its lines are kept until it can.",
          self.path,
          reason_of(error),
        )

  def _mend(self) -> None:
    """Writes the whole file again: a failed write may have left half a line."""
    with contextlib.suppress(*DISK_ERRORS):
      self._file.close()
    with tf.io.gfile.GFile(self.path) as file:
      kept = file.read().splitlines(keepends=True)[: self._written]
    write_atomically(self.path, "".join(kept + self._waiting))
    self._file = tf.io.gfile.GFile(self.path, "a")

  def sync(self) -> None:
    """Waits until the disk has what was appended, where it is a local one.

    Raises:
      OSError: where lines wait for room.
    """
    if self._waiting:
      raise OSError(f"{self.path} waits for room")
    if os.path.exists(self.path):
      descriptor = os.open(self.path, os.O_RDONLY)
      try:
        os.fsync(descriptor)
      finally:
        os.close(descriptor)

  def close(self) -> None:
    """Closes the file.

    Raises:
      OSError: where lines could not be written.
    """
    if self._waiting:
      self._mend()
      self._waiting = []
    self._file.close()


def read_jsonl(path: str) -> list[dict[str, Any]]:
  """Reads JSON lines up to the first that a killed process left unfinished."""
  lines = []
  if tf.io.gfile.exists(path):
    with tf.io.gfile.GFile(path) as file:
      for line in file:
        try:
          lines.append(json.loads(line))
        except json.JSONDecodeError:
          break
  return lines


def write_atomically(path: str, text: str) -> None:
  """Writes a file that is there whole or not at all."""
  part = f"{path}.{os.getpid()}.{time.monotonic_ns()}.part"
  try:
    with tf.io.gfile.GFile(part, "w") as file:
      file.write(text)
    tf.io.gfile.rename(part, path, overwrite=True)
  except DISK_ERRORS:
    with contextlib.suppress(*DISK_ERRORS):
      tf.io.gfile.remove(part)
    raise

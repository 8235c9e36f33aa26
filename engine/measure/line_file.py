"""A file of JSON lines that loses none while the disk is full."""

import contextlib
import json
import os
from typing import Any

import tensorflow as tf
from absl import logging

from engine.errors import Missing
from engine.files import DISK_ERRORS, reason_of, write_atomically
from engine.formats import read_lines


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
    with tf.io.gfile.GFile(self.path, "rb") as file:
      kept = file.read().splitlines(keepends=True)[: self._written]
    write_atomically(
      self.path, b"".join(kept) + "".join(self._waiting).encode()
    )
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


def read_jsonl(
  path: str, shape: Any = dict, *, set_aside: bool = False
) -> list[dict[str, Any]]:
  """Reads JSON lines; what a killed process left unfinished is none.

  Lines that are damaged are told, and left out.

  Args:
    path: of the file; where there is none there are no lines.
    shape: of each line, see `engine.formats.misfit`.
    set_aside: whether a file with damaged lines is copied to `PATH.damaged`,
      as it is about to be written again without them.

  Raises:
    CannotBeRead: where it is there, and cannot be read now.
  """
  return read_counted(path, shape, set_aside=set_aside)[0]


def read_counted(
  path: str, shape: Any = dict, *, set_aside: bool = False
) -> tuple[list[dict[str, Any]], int]:
  """Reads as `read_jsonl`; returns the number of damaged lines, too."""
  try:
    lines = read_lines(path, shape)
  except Missing:
    return [], 0
  if lines.damaged:
    shown = ", ".join(map(str, lines.damaged[:5]))
    more = "" if len(lines.damaged) <= 5 else ", ..."
    kept = ""
    if set_aside:
      tf.io.gfile.copy(path, f"{path}.damaged", overwrite=True)
      kept = f"; the file as it was is {path}.damaged"
    logging.warning(
      "%s: %d of %d lines are damaged and left out (line %s%s)%s.",
      path,
      len(lines.damaged),
      len(lines.damaged) + len(lines.values),
      shown,
      more,
      kept,
    )
  return lines.values, len(lines.damaged)

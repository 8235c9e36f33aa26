"""A log of JSON lines that loses none while the disk is full."""

import contextlib
import os
import threading
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from engine.files import DISK_ERRORS, is_local, reason_of, write_atomically
from engine.lines import segments
from engine.lines.cover import Cover, Tally


class LineFile:
  """A log of JSON lines that loses none while the disk is full.

  What could not be written stays in memory, and is tried again with the next
  line. One thread appends; another one may wait for the disk meanwhile.
  """

  def __init__(self, path: str, lines: list[dict[str, Any]]):
    """Makes the file hold exactly `lines`."""
    self.path = path
    self.name = os.path.basename(path)
    self._tally = Tally()
    self._waiting: list[str] = []
    self._writing = threading.Lock()
    write_atomically(path, "".join(map(self._tally.add, lines)))
    segments.remove(path)
    kind = _Local if is_local(path) else segments.Segments
    self._file = kind(path, len(lines))

  def append(self, *lines: Mapping[str, Any]) -> None:
    """Appends lines; they are in the hands of the system on return."""
    failed_before = bool(self._waiting)
    try:
      with self._writing:
        self._waiting += map(self._tally.add, lines)
        self._write(again=failed_before)
    except DISK_ERRORS as error:
      if not failed_before:
        logging.warning(
          "%s cannot be written (%s): its lines are kept until it can.",
          self.path,
          reason_of(error),
        )

  def _write(self, *, again: bool) -> None:
    if self._waiting:
      self._file.write(self._waiting, again=again)
      self._waiting = []

  def cover(self) -> Cover:
    """All lines so far, those included that wait for room."""
    return self._tally.cover()

  def sync(self) -> None:
    """Waits until the disk has what was appended, where it is a local one.

    Raises:
      OSError: where lines wait for room.
    """
    with self._writing:  # A line that is being written waits for no room.
      waiting = bool(self._waiting)
    if waiting:
      raise OSError(f"{self.path} waits for room")
    if is_local(self.path):
      # Somebody may have removed it: no checkpoint is given up for that.
      with (
        contextlib.suppress(FileNotFoundError),
        open(self.path, "rb") as file,
      ):
        os.fsync(file.fileno())

  def close(self) -> None:
    """Closes the file.

    Raises:
      OSError, tf.errors.OpError: where lines could not be written.
    """
    with self._writing:
      self._write(again=True)
    self._file.close()


class _Local:
  """A file on a disk, which appends."""

  def __init__(self, path: str, lines: int):
    self._path = path
    self._written = lines
    self._file = tf.io.gfile.GFile(path, "a")

  def write(self, lines: list[str], *, again: bool) -> None:
    """As `Segments.write`."""
    if again:
      self._mend(lines)
    else:
      self._file.write("".join(lines))
      self._file.flush()
    self._written += len(lines)

  def _mend(self, lines: list[str]) -> None:
    """Writes the whole file again: a failed write may have left half a line."""
    with contextlib.suppress(*DISK_ERRORS):
      self._file.close()
    with tf.io.gfile.GFile(self._path, "rb") as file:
      kept = file.read().splitlines(keepends=True)[: self._written]
    write_atomically(self._path, b"".join(kept) + "".join(lines).encode())
    self._file = tf.io.gfile.GFile(self._path, "a")

  def close(self) -> None:
    """Closes the file."""
    self._file.close()

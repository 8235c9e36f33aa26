"""Tells a supervisor what this process does: one small file, written in place.

A supervisor cannot see whether a rank that is alive still gets on: heartbeats
of a stuck rank beat. The file says which phase a rank is in, how often it has
moved, and the step that it has reached.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

VARIABLE = "APSIS_PROGRESS_FILE"  # The supervisor sets it: the file's path.
_SIZE = 1024  # Bytes of the one record: written at once, padded with blanks.
_WORDS = 120  # Characters of a reason, of which JSON may make six bytes each.


class Progress:
  """Writes the record; without a path it writes nothing."""

  def __init__(self, path: str | None = None):
    """Opens the file.

    Args:
      path: of the file; by default what the environment names.
    """
    path = os.environ.get(VARIABLE) if path is None else path
    self._file = os.open(path, os.O_WRONLY | os.O_CREAT) if path else None
    self._count = 0
    self._facts: dict[str, int | str] = {"phase": "start_up", "step": 0}

  def report(self, phase: str | None = None, **facts: int | str) -> None:
    """Notes that the process has moved.

    Args:
      phase: a bucket of the ledger, "meeting" while it waits for other workers;
        None: still the same.
      **facts: `step`, the global step; `stopped`, what told the run to stop.
    """
    if self._file is None:
      return
    if phase:
      self._facts["phase"] = phase
    self._facts.update(facts)
    self._count += 1
    stopped = str(self._facts.get("stopped", ""))[:_WORDS]
    record = {**self._facts, "count": self._count, "stopped": stopped}
    os.pwrite(self._file, json.dumps(record).ljust(_SIZE).encode(), 0)


def read_progress(path: str) -> Mapping[str, Any] | None:
  """Reads a record; None where there is none yet, half of one, or another."""
  try:
    with open(path, "rb") as file:
      record = json.loads(file.read(2 * _SIZE))
  except (OSError, ValueError, RecursionError):
    return None
  if not isinstance(record, dict):
    return None
  shape = {"phase": str, "step": int, "count": int, "stopped": str}
  fits = all(type(record.get(x, kind())) is kind for x, kind in shape.items())
  return record if fits else None

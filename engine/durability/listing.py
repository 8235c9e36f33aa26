"""TensorFlow's list of checkpoints, for programs that look there.

Nothing here depends on it, and what it says of paths is not believed: it names
files that are beside it, or none.
"""

import os
import re
import time
from collections.abc import Mapping

from engine.errors import Unreadable
from engine.files import write_atomically
from engine.formats import read_bytes

_FILE = "checkpoint"
_LIMIT = 2**20  # Bytes.
_LISTED = rb'^all_model_checkpoint_paths: "(?:[^"]*/)?(ckpt-\d+)"$'
_PRESERVED = rb"^last_preserved_timestamp: ([\d.e+]{1,30})$"


def read(directory: str) -> tuple[list[str], float] | None:
  """Reads the list of a directory.

  Returns:
    Prefixes of what it lists, in the directory; and when one was kept for good,
    in seconds since the epoch. None: there is no list that can be read.
  """
  try:
    text = read_bytes(os.path.join(directory, _FILE), _LIMIT)
    preserved = [float(x) for x in re.findall(_PRESERVED, text, re.M)]
  except (Unreadable, ValueError):
    return None
  names = [x.decode() for x in re.findall(_LISTED, text, re.M)]
  if not names:
    return None
  prefixes = [os.path.join(directory, name) for name in dict.fromkeys(names)]
  return prefixes, min(max(preserved, default=0.0), time.time())


def write(
  directory: str, kept: Mapping[str, float], preserved: float | None = None
) -> None:
  """Writes the list, whole or not at all.

  Args:
    directory: where.
    kept: prefix -> seconds since the epoch of its save, the newest last.
    preserved: when one was kept for good, likewise; None: as it was.

  Raises:
    OSError, tf.errors.OpError: where it cannot be written.
  """
  if preserved is None:
    preserved = (read(directory) or ([], 0.0))[1]
  # Names without a directory: the run can be moved.
  names = list(map(os.path.basename, kept))
  lines = [
    *(f'model_checkpoint_path: "{name}"' for name in names[-1:]),
    *(f'all_model_checkpoint_paths: "{name}"' for name in names),
    *(f"all_model_checkpoint_timestamps: {x!r}" for x in kept.values()),
    f"last_preserved_timestamp: {preserved!r}",
  ]
  write_atomically(
    os.path.join(directory, _FILE), "".join(f"{line}\n" for line in lines)
  )

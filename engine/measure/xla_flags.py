"""Where XLA is told to keep its programs: before TensorFlow is imported.

It reads its flags once, with the first look at a device, and in a door the
import of TensorFlow is one: `tensorflow.python.distribute.combinations` counts
GPUs where absl's app runs.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from engine.errors import UserError

_FLAG = "--tf_xla_persistent_cache_directory"


def others() -> list[str]:
  """Returns the flags of XLA that say something else."""
  words = os.environ.get("TF_XLA_FLAGS", "").split()
  words += os.environ.get("XLA_FLAGS", "").split()
  return [word for word in words if not word.startswith(f"{_FLAG}=")]


def folder_of(directory: str, facts: Mapping[str, Any]) -> str:
  """Returns the folder of the programs for this machine.

  Args:
    directory: of all machines.
    facts: what code depends on beside its program: versions, hardware, flags.
  """
  text = json.dumps(facts, sort_keys=True, default=str)
  key = hashlib.sha256(text.encode()).hexdigest()[:16]
  return os.path.join(os.path.abspath(directory), f"programs-{key}")


def keep_in(folder: str) -> None:
  """Tells XLA, once.

  Raises:
    UserError: where it has been told another folder, or takes no such path.
  """
  flags = os.environ.get("TF_XLA_FLAGS", "")
  ours = f"{_FLAG}={folder}"
  if ours in flags.split():
    return
  if _FLAG in flags:
    raise UserError(
      f"`compile_cache` is given beside {_FLAG} of TF_XLA_FLAGS: leave one of "
      "them out."
    )
  if re.search(r"\s", folder):
    raise UserError(
      f"`compile_cache` is {folder!r}, but XLA's flags take no path with a "
      "space: choose another."
    )
  os.environ["TF_XLA_FLAGS"] = f"{flags} {ours}".strip()

"""The GPUs of this host, as the tool of NVIDIA's driver tells of them."""

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_TOOL = "nvidia-smi"
_DEVICE = "/dev/nvidiactl"  # There without the tool, in some containers.
# CUDA 12 runs on this and all later ones (CUDA compatibility, minor versions).
_OLDEST_DRIVER = 525


class Gpu(NamedTuple):
  """A GPU.

  Attributes:
    uuid: what `CUDA_VISIBLE_DEVICES` may call it.
    name: of its kind.
    driver: version of the driver.
    memory: its size, in words.
  """

  uuid: str
  name: str
  driver: str
  memory: str


def gpus_of_host() -> list[Gpu]:
  """Returns the GPUs of this host; none where there is no driver.

  Raises:
    OSError, subprocess.SubprocessError, ValueError: where its tool fails.
  """
  tool = shutil.which(_TOOL)
  if tool is None:
    return []
  query = "--query-gpu=uuid,name,driver_version,memory.total"
  told = subprocess.run(
    [tool, query, "--format=csv,noheader"],
    capture_output=True,
    text=True,
    timeout=30,
    check=True,
  ).stdout
  found = []
  for line in told.splitlines():
    facts = [fact.strip() for fact in line.split(",")]
    if len(facts) != len(Gpu._fields):
      raise ValueError(f"{_TOOL} says {line[:80]!r}")
    found.append(Gpu(*facts))
  return found


def kinds_of_host() -> list[str]:
  """Returns the kind and the driver of each GPU, which code depends on."""
  try:
    return [f"{gpu.name}, {gpu.driver}" for gpu in gpus_of_host()]
  except (OSError, subprocess.SubprocessError, ValueError):
    return ["unknown"]


def has_driver() -> bool:
  """Whether the tool of a driver is there."""
  return shutil.which(_TOOL) is not None


def seen_by_tensorflow() -> int:
  """Returns how many GPUs this process computes on, where it is to have some.

  TensorFlow, which takes seconds, is only imported where there is a driver.
  """
  if not has_driver() and not os.path.exists(_DEVICE):
    return 0
  import tensorflow as tf

  return len(tf.config.list_physical_devices("GPU"))


def shares_of(workers: int, environ: Mapping[str, str]) -> list[str]:
  """Divides the GPUs that may be seen among the workers of this host.

  Each gets equally many, as a strategy of several workers asks for; those that
  are left over stay idle.

  Args:
    workers: how many.
    environ: of the process; `CUDA_VISIBLE_DEVICES` names some, or none.

  Returns:
    What `CUDA_VISIBLE_DEVICES` is for each worker; empty where there are none.

  Raises:
    UserError: where there are fewer than workers.
  """
  if VISIBLE in environ:
    names = [x.strip() for x in environ[VISIBLE].split(",")]
    found = [x for x in names if x and not x.startswith("-")]
  else:
    try:
      found = [gpu.uuid for gpu in gpus_of_host()]
    except (OSError, subprocess.SubprocessError, ValueError):
      found = []  # TensorFlow will see none either; the doctor says why.
  if not found:
    return []
  each = len(found) // workers
  if not each:
    raise UserError(
      f"`num_workers` is {workers}, but this host has {len(found)} GPU(s), and "
      f"two workers cannot share one: use --num_workers={len(found)}, or put "
      f"{VISIBLE}=-1 in front, to train on the CPU."
    )
  return [",".join(found[i * each : (i + 1) * each]) for i in range(workers)]


def why_unseen(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> str:
  """Says why TensorFlow sees no GPU though a driver does; what is known.

  Args:
    gpus: that the driver sees.
    environ: of the process.
  """
  if VISIBLE in environ and not environ[VISIBLE].strip("-1, "):
    return f"{VISIBLE}={environ[VISIBLE]} hides them"
  missing, here = _libraries()
  if missing:
    return f"libraries missing: {', '.join(missing)}"
  driver = gpus[0].driver if gpus else ""
  number = re.match(r"[0-9]+", driver)
  if number and int(number[0]) < _OLDEST_DRIVER:
    return f"driver {driver} is older than {_OLDEST_DRIVER}, for CUDA 12"
  if environ.get("LD_LIBRARY_PATH"):
    return (
      f"LD_LIBRARY_PATH={environ['LD_LIBRARY_PATH']} may hide the installed "
      f"{', '.join(here[:3])}"
    )
  return f"driver {driver or 'unknown'}, {', '.join(here)} are there"


def _libraries() -> tuple[list[str], list[str]]:
  """What TensorFlow's extra `and-cuda` asks for: missing, and installed."""
  missing, here = [], []
  try:
    wanted = importlib.metadata.requires("tensorflow") or []
  except importlib.metadata.PackageNotFoundError:
    wanted = []
  for text in wanted:
    name = re.match(r"[\w.-]+", text)
    if not name or "and-cuda" not in text:
      continue
    try:
      here.append(f"{name[0]} {importlib.metadata.version(name[0])}")
    except importlib.metadata.PackageNotFoundError:
      missing.append(name[0])
  return missing, here

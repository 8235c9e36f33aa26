"""What a machine has that a run needs; imports TensorFlow last."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping

import psutil

from engine.cluster.discovery import find_cluster
from engine.config import RuntimeConfig
from engine.errors import UserError
from launch.jobs.finding import BROKEN, OK, WARNING, Finding
from launch.jobs.packages import check_packages

_GIB = 2**30
_LEAST_MEMORY = 4 * _GIB  # The demo encoder takes 2.7 GB.
_LEAST_DISK = 2 * _GIB  # A few checkpoints of the demo encoder.


def check_all(
  directories: Mapping[str, str], environ: Mapping[str, str]
) -> Iterator[Finding]:
  """Yields what is found, the quick things first.

  Args:
    directories: what each is for -> path of a directory that a run writes to.
    environ: variables of the process.
  """
  yield from check_packages(environ)
  yield _cluster(environ)
  yield _memory()
  for subject, path in directories.items():
    yield _directory(subject, path)
  yield _drivers()
  yield from _devices()


def _cluster(environ: Mapping[str, str]) -> Finding:
  subject = "cluster"
  try:
    cluster = find_cluster(RuntimeConfig(), environ)
  except (UserError, ValueError) as error:
    return Finding(BROKEN, subject, str(error), "mend or unset the variable")
  if cluster is None:
    return Finding(OK, subject, "none: this process trains alone")
  return Finding(
    OK,
    subject,
    f"worker {cluster.index} of {cluster.size}, by {cluster.found_in}",
  )


def _memory() -> Finding:
  memory = psutil.virtual_memory()
  found = (
    f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free, "
    f"{os.cpu_count()} cores"
  )
  if memory.available >= _LEAST_MEMORY:
    return Finding(OK, "memory", found)
  return Finding(
    WARNING,
    "memory",
    found,
    "the demo encoder takes 2.7 GB: end something, or lower "
    "--global_batch_size or raise --accumulate_steps",
  )


def _directory(subject: str, path: str) -> Finding:
  there = path
  while not os.path.exists(there) and os.path.dirname(there) != there:
    there = os.path.dirname(there)
  if not os.access(there, os.W_OK):
    return Finding(
      BROKEN, subject, f"{path} cannot be written", "choose another, or chmod"
    )
  free = shutil.disk_usage(there).free
  found = f"{path}, {free / _GIB:.1f} GiB free"
  if free >= _LEAST_DISK:
    return Finding(OK, subject, found)
  return Finding(WARNING, subject, found, "make room: a checkpoint takes some")


def _drivers() -> Finding:
  tool = shutil.which("nvidia-smi")
  if tool is None:
    return Finding(OK, "GPU drivers", "no nvidia-smi: no NVIDIA GPUs here")
  query = "--query-gpu=name,driver_version,memory.total"
  try:
    told = subprocess.run(
      [tool, query, "--format=csv,noheader"],
      capture_output=True,
      text=True,
      timeout=30,
      check=True,
    ).stdout.splitlines()
  except (OSError, subprocess.SubprocessError) as error:
    return Finding(
      BROKEN, "GPU drivers", f"nvidia-smi fails: {error}", "mend the driver"
    )
  return Finding(OK, "GPU drivers", "; ".join(map(str.strip, told)))


def _devices() -> Iterator[Finding]:
  """What TensorFlow sees."""
  try:
    import tensorflow as tf
  except Exception as error:
    yield Finding(
      BROKEN,
      "TensorFlow",
      f"cannot be imported: {type(error).__name__}: {error}",
      "make clean; make demo installs what was tested",
    )
    return
  gpus = tf.config.list_physical_devices("GPU")
  details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
  names = [str(x.get("device_name", "GPU")) for x in details]
  built = tf.sysconfig.get_build_info().get("cuda_version")
  yield Finding(
    OK,
    "devices",
    f"{len(tf.config.list_physical_devices('CPU'))} CPU, {len(gpus)} GPU(s) "
    + json.dumps(names),
  )
  if shutil.which("nvidia-smi") and not gpus:
    yield Finding(
      WARNING,
      "GPUs",
      f"there are some that TensorFlow (built for CUDA {built}) cannot use",
      "pip install 'tensorflow[and-cuda]==2.20.*'",
    )

"""What a machine has that a run needs; imports TensorFlow last."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence

import psutil

from engine.cluster.discovery import find_cluster
from engine.config import RuntimeConfig
from engine.errors import UserError, one_line
from launch.jobs import gpus
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
  yield from check_gpus(environ)


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


def check_gpus(environ: Mapping[str, str]) -> Iterator[Finding]:
  """Yields what the driver sees, and what TensorFlow does.

  Args:
    environ: variables of the process.
  """
  subject, seen = "GPU drivers", []
  if not gpus.has_driver():
    yield Finding(OK, subject, "no nvidia-smi: no NVIDIA GPUs here")
  else:
    try:
      seen = gpus.gpus_of_host()
      told = [f"{x.name}, {x.driver}, {x.memory}" for x in seen]
      yield Finding(OK, subject, "; ".join(told) or "a driver, and no GPU")
    except (OSError, subprocess.SubprocessError, ValueError) as error:
      said = getattr(error, "stdout", None)  # It gives its reason there.
      reason = said if isinstance(said, str) and said.strip() else str(error)
      yield Finding(
        BROKEN,
        subject,
        f"nvidia-smi fails: {one_line(reason.strip())}",
        "mend the driver",
      )
  yield from _devices(seen, environ)


def _devices(
  seen: Sequence[gpus.Gpu], environ: Mapping[str, str]
) -> Iterator[Finding]:
  """What TensorFlow sees, where the driver sees some GPUs."""
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
  found = tf.config.list_physical_devices("GPU")
  details = [tf.config.experimental.get_device_details(gpu) for gpu in found]
  names = [str(x.get("device_name", "GPU")) for x in details]
  built = tf.sysconfig.get_build_info().get("cuda_version")
  yield Finding(
    OK,
    "devices",
    f"{len(tf.config.list_physical_devices('CPU'))} CPU, {len(found)} GPU(s) "
    + json.dumps(names),
  )
  if seen and not found:
    yield Finding(
      WARNING,
      "GPUs",
      f"{len(seen)} that TensorFlow (built for CUDA {built}) cannot use: "
      f"{gpus.why_unseen(seen, environ)}",
      "make .venv/cuda, or pip install --constraint constraints.txt "
      "'tensorflow[and-cuda]==2.20.*'",
    )

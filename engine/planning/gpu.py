"""Some GPUs of one host by their name, as XLA's compiler is told of them."""

import dataclasses
import re

from engine.errors import UserError
from engine.measure.hardware import GPUS, gpu_peak
from engine.planning.compiler import Peaks

# What was tested; setup.cfg pins it too.
PINS = (
  "jax==0.10.2",
  "jax-cuda12-plugin==0.10.2",
  "nvidia-cuda-nvcc-cu12==12.9.86",
)
_MOST = 8  # That NVLink joins on a host.
# A GpuTargetConfigProto of XLA, as text: what a card would say of itself. The
# limits are those of CUDA, the same on all of these.
_TARGET = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32
  threads_per_core_limit: 2048
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_core: {gpu.shared}
  shared_memory_per_block_optin: {optin}
  core_count: {gpu.cores} fpus_per_core: {gpu.lanes}
  clock_rate_ghz: {gpu.clock}
  memory_bandwidth: {gpu.bandwidth:.0f} l2_cache_size: {gpu.cache}
  device_memory_size: {gpu.memory}
  cuda_compute_capability {{ major: {gpu.capability} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{gpu.name}"
"""


@dataclasses.dataclass(frozen=True)
class Gpus:
  """One GPU, or several of one kind in one host: h100, h100:8."""

  name: str

  maker = "XLA's compiler for GPUs"
  pins = PINS
  devices_per_chip = 1
  environment = {"JAX_PLATFORMS": "cpu"}

  def __post_init__(self):
    if not is_gpus(self.name) or not 1 <= self.devices <= _MOST:
      raise UserError(
        f"`topology` is {self.name!r}, but must be one of "
        f"{', '.join(GPUS)}, or up to {_MOST} of them: h100:8."
      )

  @property
  def kind(self) -> str:
    """The kind of GPU: h100."""
    return self.name.split(":")[0]

  @property
  def devices(self) -> int:
    """How many, each a replica."""
    return int((self.name.split(":") + ["1"])[1])

  @property
  def arguments(self) -> list[str]:
    """What `device_compile` must be told."""
    gpu = GPUS[self.kind]
    target = _TARGET.format(gpu=gpu, optin=gpu.shared - 1024)
    return [
      "--platform=cuda",
      f"--topology={self.kind}",
      f"--devices={self.devices}",
      f"--target={target}",
    ]

  def peaks(self, precision: str) -> Peaks:
    """What one of them could do at most, with products of `precision`."""
    gpu = GPUS[self.kind]
    return Peaks(
      # TensorFlow rounds products of float32 to TensorFloat-32 by itself.
      flops=gpu_peak(gpu.name, precision, tf32=True) or 0.0,
      bandwidth=gpu.bandwidth,
      memory=gpu.memory,
      link=gpu.link,
      said=f"{gpu.memory / 1e9:.0f} GB, NVLink {gpu.link / 1e9:.0f} GB/s a way",
      source="NVIDIA's data sheets and whitepapers",
    )

  def how_to_install(self) -> str:
    """Returns the command that brings the compiler."""
    return (
      "`pip install --editable '.[plan_gpu]'`, or name a Python that has "
      f"{', '.join(x.split('=')[0] for x in PINS)} by --plan_python"
    )


def is_gpus(name: str) -> bool:
  """Whether a topology is one of GPUs."""
  return re.fullmatch(rf"({'|'.join(GPUS)})(:[0-9]{{1,3}})?", name) is not None

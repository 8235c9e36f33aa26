"""How many operations a second the hardware of a run could do, at most.

Model FLOPs utilisation is the share of it that a training uses (Chowdhery et
al., PaLM, arXiv 2204.02311, appendix B). For accelerators that are known the
peak is the published one, of dense products; elsewhere it is measured, here and
now, by products of large matrices in the type that the model multiplies in.
"""

import dataclasses
import os
import time

import numpy as np
import tensorflow as tf

from engine.cluster.peers import gather
from engine.cluster.strategies import workers_of
from engine.measure.hardware import gpu_peak, tpu_peak

# A run of fewer operations is not worth the half second of measuring.
LEAST_FLOPS = 3e11
_ROUNDS = 4
_ROUND_SECONDS = 0.06
_LONG_PRODUCT = 0.02  # Seconds: a larger one would not be faster.
_SIZES = (512, 1024, 2048, 4096)


@dataclasses.dataclass(frozen=True)
class Peak:
  """Most operations a second, of all accelerators together.

  Attributes:
    flops_per_second: of products in the type of the run.
    source: "published" or "measured".
  """

  flops_per_second: float
  source: str


def find_peak(
  strategy: tf.distribute.Strategy, precision: str, flops: float
) -> Peak | None:
  """Returns the peak of a strategy's hardware; call it on all workers.

  Replicas that share a CPU share its cores: what counts is what the process
  can do with all of them. Workers measure at the same time, so those that
  share a host have a part of it each, and the sum is right.

  Args:
    strategy: of the run.
    precision: that the model multiplies in.
    flops: operations of the run; the chief's count.

  Returns:
    None where the run did too little to measure for it.
  """
  if gather(strategy, np.array([flops]))[0, 0] < LEAST_FLOPS:
    return None
  devices = strategy.extended.worker_devices
  known = published(devices, precision)
  alone = len(workers_of(strategy)) < 2
  meter = None if known else Meter(devices, precision, alone=alone)
  best, measured = 0.0, 0.0
  for _ in range(_ROUNDS):
    # All workers take part in each round, whether they measure or not; that
    # they wait for each other is what makes them begin at once.
    own = meter.round() if meter else known
    rates, measuring = gather(strategy, np.array([own, bool(meter)])).T
    best, measured = max(best, rates.sum()), measuring.sum()
  return Peak(float(best), "measured" if measured else "published")


def published(devices: tuple[str, ...], precision: str) -> float | None:
  """Published FLOP/s of this worker's devices together, where all are known.

  Args:
    devices: names, as strategies give them.
    precision: that the model multiplies in.
  """
  specs = [tf.DeviceSpec.from_string(device) for device in devices]
  if specs[0].device_type == "TPU":
    return tpu_peak(os.environ.get("TPU_ACCELERATOR_TYPE", ""))
  if specs[0].device_type != "GPU":
    return None
  physical = tf.config.list_physical_devices("GPU")
  details = tf.config.experimental.get_device_details
  names = [
    details(physical[spec.device_index]).get("device_name", "")
    for spec in specs
  ]
  tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
  peaks = [gpu_peak(name, precision, tf32=tf32) for name in names]
  known = [peak for peak in peaks if peak]
  return sum(known) if len(known) == len(peaks) else None


class Meter:
  """Measures the products of this worker's devices.

  The fastest product counts: other programs may slow some down. Where workers
  may share a host it is the mean of a time in which all of them multiply, since
  the fastest is one that the others left alone.
  """

  def __init__(self, devices: tuple[str, ...], precision: str, *, alone: bool):
    """Finds the size that is multiplied fastest.

    Args:
      devices: names; of GPUs and TPUs the first stands for all.
      precision: type of the products.
      alone: whether this is the only worker.
    """
    self._alone = alone
    self._device = devices[0]
    on_cpu = tf.DeviceSpec.from_string(self._device).device_type == "CPU"
    self._copies = 1 if on_cpu else len(devices)  # CPUs share all cores.
    self._rate = 0.0
    for size in _SIZES:
      with tf.device(self._device):
        matrix = tf.cast(
          tf.random.stateless_uniform([size, size], [0, size]), precision
        )
      self._product(matrix)  # The first one prepares.
      seconds = self._product(matrix)
      if size**3 / seconds > self._rate:
        self._rate, self._matrix = size**3 / seconds, matrix
      if seconds > _LONG_PRODUCT:
        break

  def round(self) -> float:
    """Multiplies for a while; returns FLOP/s."""
    seconds: list[float] = []
    while sum(seconds) < _ROUND_SECONDS:
      seconds.append(self._product(self._matrix))
    product = min(seconds) if self._alone else sum(seconds) / len(seconds)
    return self._copies * 2 * self._matrix.shape[0] ** 3 / product

  def _product(self, matrix: tf.Tensor) -> float:
    """Multiplies a matrix with itself; returns the seconds."""
    begun = time.perf_counter()
    with tf.device(self._device):
      product = tf.matmul(matrix, matrix)
    product[0, 0].numpy()  # Accelerators work asynchronously: wait.
    return time.perf_counter() - begun

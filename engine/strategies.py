"""From a runtime config to a strategy."""

from collections.abc import Sequence

import tensorflow as tf

from engine.config import RuntimeConfig
from engine.errors import UserError


def create_strategy(
  config: RuntimeConfig,
) -> tuple[tf.distribute.Strategy, str]:
  """Creates the strategy that `config` asks for.

  Call it before TensorFlow touches a device: logical CPUs can only be set up
  until then.

  Returns:
    The strategy, and one sentence that says what was chosen and why.

  Raises:
    UserError: where the devices for it are not there.
  """
  gpus = tf.config.list_physical_devices("GPU")
  if config.num_virtual_devices:
    _split_cpu(config.num_virtual_devices)
  devices = [device.name for device in tf.config.list_logical_devices("GPU")]
  if not gpus:
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
  kind = config.strategy
  found = f"{len(devices)} {'GPU' if gpus else 'CPU'} device(s) found"
  if kind == "auto":
    kind = "mirrored" if len(devices) > 1 else "one_device"
    found += ", chosen by auto"
  if kind == "one_device":
    return tf.distribute.OneDeviceStrategy(devices[0]), f"{kind}: {found}"
  if len(devices) < 2:
    raise UserError(
      "`strategy` is 'mirrored', but there is one device: use "
      "--strategy=one_device, or split the CPU with --num_virtual_devices=2."
    )
  return mirrored(devices), f"{kind}: {found}"


def mirrored(devices: Sequence[str]) -> tf.distribute.MirroredStrategy:
  """Creates a mirrored strategy over `devices`, all GPUs or all CPUs.

  Logical CPUs share their memory: sums over them need no collectives, which
  would also tie a process to one number of replicas for good.
  """
  on_cpu = "CPU" in devices[0]
  return tf.distribute.MirroredStrategy(
    devices,
    cross_device_ops=tf.distribute.ReductionToOneDevice() if on_cpu else None,
  )


def _split_cpu(number: int) -> None:
  """Splits the first CPU into `number` logical devices."""
  cpu = tf.config.list_physical_devices("CPU")[0]
  try:
    tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * number
    )
  except RuntimeError:
    # The devices are in use already; that is well if they are the same.
    have = len(tf.config.list_logical_devices("CPU"))
    if have != number:
      raise UserError(
        f"`num_virtual_devices` is {number}, but this process runs on {have} "
        "logical CPU(s): set it at the start of a new process."
      ) from None


def describe(strategy: tf.distribute.Strategy) -> dict[str, str | int]:
  """Names a strategy for a report: its kind and number of replicas."""
  kinds = {"OneDeviceStrategy": "one_device", "MirroredStrategy": "mirrored"}
  return {
    "strategy": kinds.get(type(strategy).__name__, type(strategy).__name__),
    "replicas": strategy.num_replicas_in_sync,
  }

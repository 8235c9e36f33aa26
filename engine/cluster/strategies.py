"""From a runtime config and a cluster to a strategy."""

import importlib.metadata
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from engine.cluster import threads
from engine.cluster.discovery import Cluster
from engine.cluster.rendezvous import ends_within
from engine.config import RuntimeConfig
from engine.errors import UserError, words_of

_KINDS = {
  "OneDeviceStrategy": "one_device",
  "MirroredStrategy": "mirrored",
  "CollectiveAllReduceStrategy": "multi_worker",
  "TPUStrategyV2": "tpu",
}


def create_strategy(
  config: RuntimeConfig, cluster: Cluster | None = None
) -> tuple[tf.distribute.Strategy, str]:
  """Creates the strategy that `config` asks for.

  Call it before TensorFlow touches a device: logical CPUs, collectives and
  TPUs can only be set up until then.

  Args:
    config: of the runtime.
    cluster: of this process, with the addresses of all workers.

  Returns:
    The strategy, and one sentence that says what was chosen and why.

  Raises:
    UserError: where the devices for it are not there.
  """
  if config.fixes_bits:
    tf.config.experimental.enable_op_determinism()
  gpus = tf.config.list_physical_devices("GPU")
  _set_growth(gpus, config.memory_growth)
  if number := threads.own(config):
    tf.config.threading.set_intra_op_parallelism_threads(number)
  kind = config.strategy
  workers = cluster.size if cluster else 1
  if config.tpu and (kind not in ("auto", "tpu") or workers > 1):
    raise UserError(
      f"`tpu` is {config.tpu!r}, but `strategy` is {kind!r} with {workers} "
      "worker(s): one process drives a TPU, with --strategy=tpu."
    )
  if kind == "multi_worker" or (kind == "auto" and workers > 1):
    return _multi_worker(config, cluster, kind)
  if cluster and workers > 1:
    raise UserError(
      f"`strategy` is {kind!r}, but {cluster.found_in} has {workers} workers, "
      "which would write to one directory: use --strategy=multi_worker."
    )
  if kind == "tpu" or (kind == "auto" and config.tpu):
    return _tpu(config)
  hardware = "CPU"
  if config.num_virtual_devices:
    _split_cpu(config.num_virtual_devices)
  elif gpus:
    hardware = "GPU"
  devices = [device.name for device in tf.config.list_logical_devices(hardware)]
  found = f"{len(devices)} {hardware} device(s) found"
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


def _multi_worker(
  config: RuntimeConfig, cluster: Cluster | None, kind: str
) -> tuple[tf.distribute.Strategy, str]:
  if cluster is None:
    raise UserError(
      "`strategy` is 'multi_worker', but no cluster was found: start it with "
      "launch.cluster, srun or TF_CONFIG, or name the workers by "
      "--worker_hosts and --worker_index."
    )
  if config.num_virtual_devices:
    raise UserError(
      f"`num_virtual_devices` is {config.num_virtual_devices}, but a worker "
      "computes on one CPU: leave it out and start more workers."
    )
  gpus = len(tf.config.list_physical_devices("GPU"))
  hosts = [cluster.addresses[i] for i in range(cluster.size)]
  resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    tf.train.ClusterSpec({"worker": hosts}),
    task_type="worker",
    task_id=cluster.index,
    rpc_layer="grpc",
    num_accelerators={"GPU": gpus} if gpus else {},
  )
  with ends_within(
    config.startup_timeout,
    f"TensorFlow's cluster of {', '.join(hosts)} did not come up within "
    f"{config.startup_timeout:g} s: start all workers again.",
  ):
    try:
      strategy = tf.distribute.MultiWorkerMirroredStrategy(
        resolver,
        tf.distribute.experimental.CommunicationOptions(
          implementation=config.communication.upper()
        ),
      )
    except tf.errors.OpError as error:
      raise UserError(
        f"TensorFlow's cluster of {', '.join(hosts)} did not come up "
        f"({words_of(error)}): start all workers again."
      ) from error
  chosen = ", chosen by auto" if kind == "auto" else ""
  return strategy, (
    f"multi_worker: {cluster.size} workers found in {cluster.found_in}, "
    f"{strategy.num_replicas_in_sync} replicas{chosen}"
  )


def _set_growth(gpus: Sequence[Any], growth: bool) -> None:
  """Lets other processes have what this one does not need of a GPU's memory."""
  for gpu in gpus:
    try:
      tf.config.experimental.set_memory_growth(gpu, growth)
    except RuntimeError:  # In use already, by who may have set it.
      logging.warning("%s is in use: memory_growth is not set.", gpu.name)


def _tpu(config: RuntimeConfig) -> tuple[tf.distribute.Strategy, str]:
  name = config.tpu or "local"
  _check_tpu_packages()
  with ends_within(
    config.startup_timeout,
    f"`tpu` {name} did not answer within {config.startup_timeout:g} s: check "
    "the name, or --startup_timeout.",
  ):
    try:
      resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
      if name != "local":
        tf.config.experimental_connect_to_cluster(resolver)
      tf.tpu.experimental.initialize_tpu_system(resolver)
      strategy = tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError, OSError) as error:
      raise UserError(
        f"`tpu` is {name!r}, but there is no such TPU ({words_of(error)}): "
        "name one by --tpu, or use another --strategy."
      ) from error
  return strategy, f"tpu: {strategy.num_replicas_in_sync} TPU cores of {name}"


def _check_tpu_packages() -> None:
  """Refuses plain TensorFlow laid over the build that knows TPUs.

  Both install the package `tensorflow`; the one that came last wins.
  """
  # The wheel calls itself tensorflow_tpu, PyPI tensorflow-tpu.
  installed = {
    (distribution.metadata["Name"] or "").lower().replace("_", "-")
    for distribution in importlib.metadata.distributions()
  }
  if {"tensorflow", "tensorflow-tpu"} <= installed:
    raise UserError(
      "The packages tensorflow and tensorflow-tpu are both installed and "
      "overwrite each other: pip uninstall both, then pip install --no-deps "
      "tensorflow-tpu==2.20.0; see launch/recipes/tpu_vm.md."
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
  """Describes a strategy for a report: kind, replicas and workers."""
  return {
    "strategy": _KINDS[type(strategy).__name__],
    "replicas": strategy.num_replicas_in_sync,
    "workers": len(workers_of(strategy)) or 1,
  }


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Whether this process is the one that writes the run's files."""
  return not workers_of(strategy) or strategy.cluster_resolver.task_id == 0


def workers_of(strategy: tf.distribute.Strategy) -> list[str]:
  """Addresses of the workers of a multi-worker strategy; else none."""
  if _KINDS.get(type(strategy).__name__) != "multi_worker":
    return []
  return strategy.cluster_resolver.cluster_spec().as_dict()["worker"]


def own_replicas(strategy: tf.distribute.Strategy) -> range:
  """Returns the replicas that this process feeds: they follow each other."""
  workers = workers_of(strategy)
  count = strategy.num_replicas_in_sync // (len(workers) or 1)
  worker = strategy.cluster_resolver.task_id if workers else 0
  return range(worker * count, (worker + 1) * count)

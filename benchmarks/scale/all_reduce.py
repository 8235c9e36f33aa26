"""Seconds of an all-reduce by its size: a process of `benchmarks.scaling`.

Starts like `launch.train`, with the same strategy, and reduces one float32
array again and again. The chief prints a JSON object: bytes -> seconds.
"""

import json
import os
import statistics
import time

from absl import flags

from engine.cluster.discovery import find_cluster
from engine.cluster.rendezvous import meet
from launch.command.door import run_door
from launch.command.flags import config_from_flags, define_settings

SETTINGS = (
  "strategy",
  "num_virtual_devices",
  "worker_hosts",
  "worker_index",
  "startup_timeout",
)
flags.DEFINE_list("bytes", ["4000", "1000000", "16000000"], "Sizes.")
flags.DEFINE_integer("times", 9, "All-reduces of each size.", lower_bound=3)
define_settings(SETTINGS)


def main() -> None:
  """Measures, and prints."""
  config = config_from_flags(SETTINGS)
  cluster = find_cluster(config.runtime, os.environ)
  if cluster:
    cluster = meet(cluster, {}, timeout=config.runtime.startup_timeout)
  # Imported behind the meeting: TensorFlow takes seconds.
  import tensorflow as tf

  from engine.cluster.strategies import create_strategy, is_chief

  strategy, _ = create_strategy(config.runtime, cluster)
  found = {}
  for size in map(int, flags.FLAGS.bytes):
    found[size] = measure(tf, strategy, size, flags.FLAGS.times)
  if is_chief(strategy):
    print(json.dumps(found), flush=True)


def measure(tf, strategy, size: int, times: int) -> float:
  """Median seconds of reducing `size` bytes, behind two to warm up."""

  @tf.function
  def reduced(value):
    def replica(x):
      context = tf.distribute.get_replica_context()
      # Each replica has a value of its own, on its own device.
      x += tf.cast(context.replica_id_in_sync_group, tf.float32)
      return context.all_reduce("SUM", x)[0]

    return strategy.run(replica, (value,))

  value = tf.ones([size // 4])
  seconds = []
  for _ in range(times + 2):
    begun = time.perf_counter()
    for local in strategy.experimental_local_results(reduced(value)):
      local.numpy()
    seconds.append(time.perf_counter() - begun)
  return statistics.median(seconds[2:])


if __name__ == "__main__":
  run_door(main, "Measures all-reduces; benchmarks.scaling runs it.")

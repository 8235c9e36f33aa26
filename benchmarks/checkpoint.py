"""How long a save holds training up: python -m benchmarks.checkpoint --help.

Synchronous and asynchronous saves take turns in one process. The stall of a
save is what its call takes and, since variables are copied when the next step
writes to them, what that step takes longer than a step without a save.
"""

import os
import statistics
import tempfile
import time
from typing import Any

from absl import flags

from benchmarks.harness.record import row, write_record
from launch.command.door import run_door
from launch.command.flags import config_from_flags, define_settings

flags.DEFINE_integer("repeats", 7, "Saves of each kind.", lower_bound=3)
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")
define_settings(("task", "encoder", "global_batch_size"))

KINDS = {"synchronous": False, "asynchronous": True}


def main() -> None:
  """Measures, writes one JSON file, prints a table."""
  values = flags.FLAGS
  # One shape, so that steps can be compared.
  values.params_override = "task.batching=pad," + values.params_override
  # Imported behind the checks: TensorFlow takes seconds.
  from engine.measure.environment import environment

  with tempfile.TemporaryDirectory() as directory:
    found = measure(config_from_flags(), directory, values.repeats)
  path = write_record(
    "checkpoint",
    [
      row(f"{kind}: {name}", "s", found[kind][name], better="lower")
      for kind in KINDS
      for name in ("call", "stall", "whole")
    ],
    environment=environment(),
    output_dir=values.output_dir,
    bytes=found["bytes"],
    step_seconds=found["step_seconds"],
    longer_step_seconds={kind: found[kind]["longer_step"] for kind in KINDS},
  )
  print(f"{found['bytes'] / 1e6:.0f} MB, a step {found['step_seconds']:.3f} s")
  print("seconds       call   step behind   stall   until whole   MB/s")
  for kind in KINDS:
    middle = {k: statistics.median(v) for k, v in found[kind].items()}
    print(
      f"{kind:12} {middle['call']:6.3f} {middle['longer_step']:12.3f} "
      f"{middle['stall']:8.3f} {middle['whole']:12.3f} "
      f"{found['bytes'] / 1e6 / middle['whole']:7.0f}"
    )
  whole, beside = (statistics.median(found[kind]["stall"]) for kind in KINDS)
  print(f"stall, asynchronous / synchronous: {beside / whole:.1%}")
  print(path)


def measure(config: Any, directory: str, repeats: int) -> dict[str, Any]:
  """Returns the seconds of saves of both kinds."""
  import numpy as np
  import tensorflow as tf

  from engine.config import CheckpointConfig
  from engine.durability import manifest
  from engine.durability.checkpoints import Checkpoints
  from engine.durability.committer import Committer
  from engine.measure.ledger import Ledger
  from engine.run.builder import Builder
  from tasks.sentence_pair import SentencePairTask

  task, ledger = SentencePairTask(config.task), Ledger()
  strategy = tf.distribute.OneDeviceStrategy("CPU:0")
  if tf.config.list_physical_devices("GPU"):
    strategy = tf.distribute.OneDeviceStrategy("GPU:0")
  builder = Builder(config=config, task=task, strategy=strategy, ledger=ledger)
  model, trainer, _ = builder.parts(task.source("train"), task.source("dev"))
  task.initialize(model, config.train.seed)
  managers = {
    kind: Checkpoints(
      tf.train.Checkpoint(
        model=model,
        optimizer=trainer.optimizer,
        global_step=trainer.global_step,
      ),
      directory=os.path.join(directory, kind),
      policy=CheckpointConfig(
        checkpoint_interval=1, max_to_keep=1, async_checkpoint=asynchronous
      ),
      committer=Committer(config={}, versions={}),
      ledger=ledger,
    )
    for kind, asynchronous in KINDS.items()
  }

  def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun

  def step():
    trainer.train(tf.constant(1))

  found: dict[str, dict[str, list[float]]] = {
    kind: {"call": [], "longer_step": [], "stall": [], "whole": []}
    for kind in KINDS
  }
  steps = []
  for turn in range(repeats + 2):  # The first saves build and trace.
    for kind, manager in managers.items():
      plain = [seconds(step) for _ in range(3)]
      begun = time.perf_counter()
      call = seconds(manager.save)
      behind = seconds(step)
      manager.settle()
      whole = time.perf_counter() - begun
      if turn < 2:
        continue
      steps += plain
      longer = behind - float(np.median(plain))
      # A synchronous save is whole when its call returns.
      took = (call, longer, call + longer, whole if KINDS[kind] else call)
      for name, value in zip(found[kind], took, strict=True):
        found[kind][name].append(value)
  newest = manifest.verify(managers["synchronous"].settle())
  return {
    "bytes": sum(facts["size"] for facts in newest.files.values()),
    "step_seconds": float(np.median(steps)),
    **found,
  }


if __name__ == "__main__":
  run_door(main, "Measures the stall of checkpoints on this machine.")

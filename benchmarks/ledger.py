"""What the ledger and the logs cost: python -m benchmarks.ledger --help.

Two kinds of turns alternate in one process, each of some loops. `logged` is
what a run does: Orbit's controller, ledger, boundary, rates, journal and
TensorBoard. `bare` fetches batches, gives the same programs to the device, and
does nothing else. Their difference is the cost, but a small one among steps
that vary; so the seconds that the device was without a step between two of a
turn, by its own clock, are a row of their own: `idle`.
"""

import dataclasses
import statistics
import tempfile
import time
from typing import Any

from absl import flags

from benchmarks.harness.record import row, write_record
from launch.command.door import run_door
from launch.command.flags import config_from_flags, define_settings

flags.DEFINE_integer("repeats", 15, "Turns of a kind.", lower_bound=3)
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")
_LOOPS = 4  # Of `steps_per_loop` steps, in a turn.
define_settings(
  ("task", "encoder", "precision", "global_batch_size", "steps_per_loop")
)


def main() -> None:
  """Measures, writes one JSON file, prints the cost."""
  values = flags.FLAGS
  # One shape, so that loops can be compared.
  values.params_override = "task.batching=pad," + values.params_override
  config = config_from_flags()
  # Imported behind the checks: TensorFlow takes seconds.
  from engine.measure.environment import environment

  with tempfile.TemporaryDirectory() as directory:
    found = measure(config, directory, values.repeats)
  pairs = list(zip(found["logged"], found["bare"], strict=True))
  ratios = [logged / bare for logged, bare in pairs]
  shares = [
    idle / bare for idle, (_, bare) in zip(found["idle"], pairs, strict=True)
  ]
  encoder = config.task.encoder
  rows = [
    *(
      row(f"{encoder}: {kind} step", "s", found[kind], better="lower")
      for kind in ("logged", "bare", "idle")
    ),
    row(f"{encoder}: logged / bare", "ratio", ratios, better="lower"),
    row(f"{encoder}: idle / bare", "ratio", shares, better="lower"),
  ]
  path = write_record(
    "ledger", rows, environment=environment(), output_dir=values.output_dir
  )
  for each in rows:
    low, high = each["summary"]["interval"]
    print(
      f"{each['name']:20} {each['summary']['median']:9.6f} {each['unit']:5} "
      f"[{low:.6f}, {high:.6f}]"
    )
  print(
    f"cost of ledger and logs: {statistics.median(ratios) - 1:+.2%} of a step; "
    f"the device was idle for {statistics.median(shares):.3%}"
  )
  print(path)


def measure(
  config: Any, directory: str, repeats: int
) -> dict[str, list[float]]:
  """Measures both kinds in turns.

  Args:
    config: of the run.
    directory: where the logs go.
    repeats: turns of a kind.

  Returns:
    Seconds a step: `logged` and `bare`; and `idle`, which of a logged step the
    device had none.
  """
  import orbit
  import tensorflow as tf

  from engine.cluster.strategies import create_strategy
  from engine.loop.programs import dispatching
  from engine.measure.journal import Journal
  from engine.measure.ledger import Ledger
  from engine.measure.terminal import Terminal
  from engine.run.builder import Builder
  from engine.run.controller import silence_orbit
  from engine.telemetry.actions import TrainLog
  from tasks.sentence_pair import SentencePairTask

  silence_orbit()  # As in a run.
  steps = _LOOPS * config.runtime.steps_per_loop
  train_steps = 2 * steps * (repeats + 1)
  config = dataclasses.replace(
    config, train=dataclasses.replace(config.train, train_steps=train_steps)
  )
  strategy, _ = create_strategy(config.runtime)
  task, ledger = SentencePairTask(config.task), Ledger()
  builder = Builder(config=config, task=task, strategy=strategy, ledger=ledger)
  model, trainer, _ = builder.parts(task.source("train"), task.source("dev"))
  task.initialize(model, config.train.seed)
  terminal = Terminal(train_steps=train_steps, quiet=True)
  log = Journal(directory, step=0, terminal=terminal)
  controller = orbit.Controller(
    global_step=trainer.global_step,
    trainer=trainer,
    strategy=strategy,
    steps_per_loop=steps,
  )
  log_point = TrainLog(log=log, trainer=trainer, ledger=ledger)
  trainer.log_points = [log_point]
  shape = trainer.inputs.layout(0).shape

  def logged() -> None:
    controller.train(int(trainer.global_step.numpy()) + steps)

  def bare() -> None:
    first = int(trainer.global_step.numpy())
    with dispatching(ahead=True):  # Ends once all have run.
      for step in range(first, first + steps):
        _, batch = trainer.inputs.fetch(step)
        number = tf.constant(step, tf.int64)
        trainer.programs(
          shape, batch, number, tf.constant(False), tf.zeros([0, 2])
        )

  def seconds(loop) -> float:
    begun = time.perf_counter()
    loop()
    return (time.perf_counter() - begun) / steps

  found: dict[str, list[float]] = {"logged": [], "bare": [], "idle": []}
  ledger.started()
  for turn in range(repeats + 1):
    before = ledger.totals()["input_wait"]
    took = seconds(logged)
    idle = ledger.totals()["input_wait"] - before
    plain = seconds(bare)
    if turn:  # The first ones compile.
      found["logged"].append(took)
      found["idle"].append(idle / steps)
      found["bare"].append(plain)
  log.close()
  return found


if __name__ == "__main__":
  run_door(main, "Measures what ledger and logs cost on this machine.")

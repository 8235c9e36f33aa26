"""Plans a run, and compiles it for devices that are elsewhere: --help."""

import dataclasses
import os
import sys
from typing import Any

from absl import flags

from engine.cluster.discovery import find_cluster
from engine.config import LONGEST
from engine.errors import UserError
from engine.planning.compiler import Compiler, Topology
from engine.planning.gpu import Gpus, is_gpus
from engine.planning.tpu import Tpus
from launch.command.checks import check_output
from launch.command.door import run_door
from launch.command.flags import config_from_flags, define_settings, settings
from launch.command.imports import slow_imports
from launch.pages import plan_report
from tasks import registry

LARGEST = ("estimate", "search", "off")

flags.DEFINE_string(
  "topology",
  None,
  "What to compile for, without one: h100, h200:8, v5e:2x2, v4:2x2x1, ...",
)
flags.DEFINE_enum(
  "largest_batch",
  "estimate",
  LARGEST,
  "Examples that fit a chip: from a line, by compiling (slow), or not.",
)
flags.DEFINE_string("chip_config", "", "megacore: a v4 chip as one device.")
flags.DEFINE_string(
  "plan_python",
  None,
  "Python with jax and the compiler; on a TPU VM not the one that trains. "
  "[this]",
)
flags.DEFINE_float(
  "compile_timeout",
  1800.0,
  "Seconds for one compilation.",
  lower_bound=0.0,
  upper_bound=LONGEST,
)
flags.DEFINE_string("output", None, "Also write the plan here, as JSON.")
_UNPLANNED = (
  "steps_per_loop",
  "log_interval",
  "log_example_ids",
  "log_weights_digest",
  "check_resume",
  "checkpoint_interval",
)
define_settings([name for name in settings() if name not in _UNPLANNED])


def main() -> None:
  """Prints the plan, then what the compiler says of it."""
  config = config_from_flags(own_tasks=True, evaluates=True)
  values = flags.FLAGS
  if values["output"].present:
    check_output("output", values.output, begins='{\n  "command":')
  cluster = find_cluster(config.runtime, os.environ)
  compiler = find_compiler() if values.topology else None
  # Imported behind the checks: TensorFlow takes seconds.
  with slow_imports():
    from engine.cluster.strategies import create_strategy
    from engine.files import write_json
    from engine.loop.evaluator import Evaluator
    from engine.measure.ledger import Ledger
    from engine.planning.compiled import PlannedStep, compile_steps
    from engine.planning.lowering import compile_only_strategy
    from engine.planning.plan import make_plan
    from engine.run.builder import Builder

  if compiler:
    replicas, where = compiler.topology.devices, compiler.topology.name
    if config.runtime.shapes == "auto":
      kind: Any = "gpu" if is_gpus(where) else "tpu"
      runtime = dataclasses.replace(config.runtime, shapes=kind)
      config = dataclasses.replace(config, runtime=runtime)
  elif cluster and cluster.size > 1:
    replicas, where = cluster.size, f"workers found in {cluster.found_in}"
  else:
    strategy, where = create_strategy(config.runtime)
    replicas = strategy.num_replicas_in_sync
  strategy = compile_only_strategy(replicas)
  task = registry.build_task(config.task)
  builder = Builder(
    config=config, task=task, strategy=strategy, ledger=Ledger()
  )
  model, trainer, evaluator = builder.parts(
    task.source("train"), task.source(config.evaluation.splits[0])
  )
  assert isinstance(evaluator, Evaluator), "one split is planned"
  plan = make_plan(
    config=config,
    replicas=replicas,
    model=model,
    optimizer=trainer.optimizer,
    train=trainer.inputs,
    evaluation=evaluator.inputs,
  )
  record: dict[str, Any] = {
    "command": sys.argv[1:],
    "plan": dataclasses.asdict(plan),
  }
  print("\n".join(plan_report.plan_lines(plan, config, where)), flush=True)
  compiled: dict[str, dict[str, Any]] = {}
  if compiler:
    steps = [
      PlannedStep("train", plan.train, trainer, strategy),
      PlannedStep("eval", plan.evaluation, evaluator, strategy),
    ]
    compiled = compile_steps(
      compiler, steps, largest=values.largest_batch, say=said
    )
    of_device = record["gpu" if is_gpus(where) else "tpu"] = {
      "topology": {**vars(compiler.topology)},
      **compiler.facts,
      "steps": compiled,
    }
    print()
    lines = plan_report.device_lines(
      of_device, compiler.topology, config.train.precision
    )
    print("\n".join(lines))
  if values.output:
    write_json(values.output, record, named=True)
  if not all(step["ok"] for step in compiled.values()):
    sys.exit(1)


def find_compiler() -> Compiler:
  """Returns the compiler that the flags name, once it has answered."""
  values = flags.FLAGS
  topology: Topology
  if is_gpus(values.topology):
    topology = Gpus(values.topology)
    if values.chip_config:
      raise UserError(
        f"`chip_config` is {values.chip_config!r}, but GPUs have none: leave "
        "it out."
      )
  else:
    topology = Tpus(values.topology, values.chip_config)
  return Compiler(
    topology,
    python=values.plan_python or sys.executable,
    timeout=values.compile_timeout,
  )


def said(message: str, end: str = "\n") -> None:
  """Tells a user who waits, unless it is to be quiet."""
  if not flags.FLAGS.quiet:
    print(message, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
  run_door(main, "Plans a run; with --topology, compiles it for TPUs or GPUs.")

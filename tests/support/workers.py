"""What each of two workers does for tests/house/workers_test.py.

python -m tests.support.workers -- HOSTS INDEX DIR             trains all `RUNS`
python -m tests.support.workers -- HOSTS INDEX DIR killed 1    dies in step 3
python -m tests.support.workers -- HOSTS INDEX DIR frozen 0    stops in step 3
python -m tests.support.workers -- HOSTS INDEX DIR mistaken 1  finds no data
"""

import json
import os
import signal
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from engine.cluster.discovery import find_cluster
from engine.cluster.peers import agree
from engine.cluster.rendezvous import meet
from engine.cluster.strategies import create_strategy, is_chief
from engine.config import RuntimeConfig
from engine.errors import UserError
from engine.loop.boundary import Boundary
from engine.loop.evaluator import build_evaluator
from engine.measure.ledger import Ledger
from engine.measure.peaks import LEAST_FLOPS, find_peak
from engine.run.experiment import Experiment
from engine.task import Task
from launch.command.door import run_door
from tests.support.testing import LineTask, acting_at, tiny_config, tiny_task

# Name -> how the task is made, and settings of the config.
RUNS: dict[str, tuple[Callable[[], Task], dict]] = {
  "pairs": (lambda: tiny_task(max_seq_length=96, dropout=0.0), {}),
  "line": (lambda: LineTask(0.25), {}),
  "line again": (lambda: LineTask(0.25), {}),
  "float16": (LineTask, {"train": {"precision": "float16"}}),
  "accumulated, compiled by XLA": (
    LineTask,
    {"train": {"accumulate_steps": 4}, "runtime": {"xla": True}},
  ),
}
BATCHES = (8, 64)


def experiment(name, directory, strategy) -> Experiment:
  """One of `RUNS`, on any strategy."""
  make_task, settings = RUNS[name]
  runtime = {"steps_per_loop": 1, "log_example_ids": True}
  return Experiment(
    config=tiny_config(
      train={"train_steps": 20, **settings.get("train", {})},
      runtime={**runtime, **settings.get("runtime", {})},
    ),
    task=make_task(),
    model_dir=os.path.join(directory, name),
    strategy=strategy,
  )


def evaluations(strategy) -> dict[str, dict]:
  """Evaluations of 53 examples in batches of each size."""
  task = LineTask()
  with strategy.scope():
    model = task.build_model()
    task.initialize(model, seed=1)
  found = {}
  for size in BATCHES:
    found[str(size)] = build_evaluator(
      task=task,
      model=model,
      source=task.source("dev"),
      strategy=strategy,
      batch_size=size,
      ledger=Ledger(),
    ).evaluate(np.int32(-1))
  return found


def main(hosts: str, index: str, directory: str, *fate: str) -> None:
  """Runs one worker."""
  config = RuntimeConfig(
    worker_hosts=hosts, worker_index=int(index), deterministic=True
  )
  cluster = meet(find_cluster(config, {}), {}, timeout=60.0)
  strategy, _ = create_strategy(config, cluster)
  if fate:
    if cluster.index == int(fate[1]):
      FATES[fate[0]]()
  else:
    agree(strategy, {})
    try:
      agree(strategy, {"same": 1, "own": cluster.index})
    except ValueError as error:
      write(directory, f"disagreement_{cluster.index}.json", str(error))
    peak = find_peak(strategy, "float32", LEAST_FLOPS)
    write(directory, f"peak_{cluster.index}.json", vars(peak))
    found = evaluations(strategy)
    if is_chief(strategy):
      write(directory, "evaluations.json", found)
  for name in ["line"] if fate else RUNS:
    experiment(name, directory, strategy).run("train_and_eval")


def die_in_step_3() -> None:
  """Makes this worker end in the middle of a run."""
  Boundary.check = acting_at(3, lambda: os.kill(os.getpid(), signal.SIGKILL))


def freeze_in_step_3() -> None:
  """Makes this worker stand still in the middle of a run, for good."""
  Boundary.check = acting_at(3, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def find_no_data() -> None:
  """Makes this worker find a mistake that the others do not have."""

  def source(*_):
    raise UserError("there is no data here.")

  LineTask.source = source


FATES = {
  "killed": die_in_step_3,
  "frozen": freeze_in_step_3,
  "mistaken": find_no_data,
}


def write(directory, name, value) -> None:
  """Writes a JSON file."""
  with open(os.path.join(directory, name), "w") as file:
    json.dump(value, file)


if __name__ == "__main__":
  run_door(lambda rest: main(*rest), "One worker of a test.", takes_rest=True)

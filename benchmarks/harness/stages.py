"""Runs `launch.train` and notes how long the stages of its start-up take.

`benchmarks.startup` starts it: python -m benchmarks.harness.stages FLAGS OF
TRAIN. The run is that of the door; the public functions that begin and end a
stage are wrapped with a clock. `MODEL_DIR/stages.json` holds their seconds, and
the line of stderr that marks the end of the first step.
"""

from engine.measure.ledger import process_seconds

_BEGUN = process_seconds()  # Before any slow import: the interpreter is up.

import functools  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from launch import train  # noqa: E402
from launch.command.door import run_door  # noqa: E402
from launch.command.flags import require  # noqa: E402

MARK = "the first step has finished"


def main() -> None:
  """Runs the experiment that the flags describe, with a clock in each stage."""
  # What `train.main` imports behind its checks.
  from engine.cluster import strategies
  from engine.durability.checkpoints import Checkpoints
  from engine.run import experiment
  from engine.run.builder import Builder
  from engine.telemetry.actions import TrainLog
  from tasks.sentence_pair import SentencePairTask

  assert experiment
  seconds = {
    "interpreter": _BEGUN,
    "imports": process_seconds() - _BEGUN,
  }
  path = os.path.join(require("model_dir"), "stages.json")

  def clock(owner: Any, name: str, stage: str) -> None:
    function: Callable = getattr(owner, name)

    @functools.wraps(function)
    def timed(*args, **kwargs):
      begun = time.perf_counter()
      try:
        return function(*args, **kwargs)
      finally:
        took = time.perf_counter() - begun
        seconds[stage] = seconds.get(stage, 0.0) + took

    setattr(owner, name, timed)

  clock(strategies, "create_strategy", "strategy")
  clock(SentencePairTask, "__init__", "data")
  clock(SentencePairTask, "source", "data")
  clock(Builder, "parts", "model")
  clock(Checkpoints, "begin", "initialise")
  write = TrainLog.__call__

  def mark_and_write(log, step, scalars):
    if not os.path.exists(path):
      print(MARK, file=sys.stderr, flush=True)
      with open(path, "w") as file:
        json.dump({"seconds": seconds, "mark": MARK}, file)
    write(log, step, scalars)

  TrainLog.__call__ = mark_and_write
  train.main()


if __name__ == "__main__":
  run_door(main, "Runs launch.train with a clock in each stage of its start.")

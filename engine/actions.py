"""`orbit.Action`s of a training run: what happens after each device loop."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from engine.journal import Journal, read_jsonl, write_atomically
from engine.ledger import Ledger
from engine.trainer import Trainer, Work


class TrainLog:
  """Writes a log point: the loop's scalars, rates and the ledger so far."""

  def __init__(self, *, log: Journal, trainer: Trainer, ledger: Ledger):
    self._log = log
    self._trainer = trainer
    self._ledger = ledger
    self._last = dataclasses.replace(trainer.work)

  def __call__(self, output: Mapping[str, Any]) -> None:
    """Logs `output`, what `Trainer.train_loop_end` returned."""
    work, last = self._trainer.work, self._last
    point = dict(output)
    if work.steps > last.steps:
      seconds = work.seconds - last.seconds
      point["examples_per_second"] = (work.examples - last.examples) / seconds
      point["steps_per_second"] = (work.steps - last.steps) / seconds
    self._last = dataclasses.replace(work)
    point["work"] = dataclasses.asdict(work)
    point["ledger"] = self._ledger.totals()
    self._log.write("train", int(self._trainer.global_step.numpy()), point)


class ExampleIdLog:
  """Writes the ids of each global batch: {"step": k, "ids": [...]} a line."""

  def __init__(self, path: str, trainer: Trainer):
    """Opens the log at the trainer's step; later lines are dropped."""
    self._trainer = trainer
    self._next = int(trainer.global_step.numpy())
    kept = [line for line in read_jsonl(path) if line["step"] < self._next]
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
    self._file = tf.io.gfile.GFile(path, "a")

  def __call__(self, output: Mapping[str, Any]) -> None:
    """Logs the steps of the loop that ended."""
    inputs = self._trainer.inputs
    for step in range(self._next, int(self._trainer.global_step.numpy())):
      ids = inputs.source.ids(inputs.order.indices(step))
      self._file.write(json.dumps({"step": step, "ids": ids}) + "\n")
    self._file.flush()
    self._next = int(self._trainer.global_step.numpy())


def earlier_seconds(log: Journal) -> dict[str, float]:
  """Seconds that earlier processes of this run booked.

  What they did behind the restored checkpoint counts as lost.
  """
  points = [line for line in log.lines if "ledger" in line]
  seconds = dict(points[-1]["ledger"]) if points else {}
  lost = [line for line in log.dropped if "ledger" in line]
  if lost:
    spent = sum(lost[-1]["ledger"].values()) - sum(seconds.values())
    seconds["lost_to_restart"] = seconds.get("lost_to_restart", 0.0) + spent
  return seconds


def earlier_work(log: Journal) -> Work:
  """What the timed steps of earlier processes of this run worked on."""
  points = [line["work"] for line in log.lines if "work" in line]
  return Work(**points[-1]) if points else Work()


def steps_to_stop(step: int, steps_per_loop: int, interval: int) -> int:
  """Steps of the next loop, so that none crosses a checkpoint.

  Loops and checkpoints then lie at the same steps before and after a resume.
  """
  stops = (steps_per_loop, interval)
  return min(stop - step % stop for stop in stops)

"""`orbit.Action`s of a training run: what happens after each device loop."""

import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from engine.journal import Journal
from engine.ledger import Ledger
from engine.trainer import Trainer


class TrainLog:
  """Writes a log point: the loop's scalars, rates and the ledger so far."""

  def __init__(self, *, log: Journal, trainer: Trainer, ledger: Ledger):
    self._log = log
    self._trainer = trainer
    self._ledger = ledger
    self._examples, self._steps, self._seconds = 0, 0, 0.0

  def __call__(self, output: Mapping[str, Any]) -> None:
    """Logs `output`, what `Trainer.train_loop_end` returned."""
    work = self._trainer.work
    point = dict(output)
    seconds = work.seconds - self._seconds
    if work.steps > self._steps:
      point["examples_per_second"] = (work.examples - self._examples) / seconds
      point["steps_per_second"] = (work.steps - self._steps) / seconds
    self._examples, self._steps = work.examples, work.steps
    self._seconds = work.seconds
    point["ledger"] = self._ledger.totals()
    self._log.write("train", int(self._trainer.global_step.numpy()), point)


class ExampleIdLog:
  """Writes the ids of each global batch: {"step": k, "ids": [...]} a line."""

  def __init__(self, path: str, trainer: Trainer):
    """Opens the log at the trainer's step; later lines are dropped."""
    self._trainer = trainer
    self._next = int(trainer.global_step.numpy())
    kept = []
    if self._next and tf.io.gfile.exists(path):
      with tf.io.gfile.GFile(path) as file:
        kept = file.read().splitlines(keepends=True)[: self._next]
    self._file = tf.io.gfile.GFile(path, "w")
    self._file.write("".join(kept))

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


def steps_to_stop(step: int, steps_per_loop: int, interval: int) -> int:
  """Steps of the next loop, so that none crosses a checkpoint.

  Loops and checkpoints then lie at the same steps before and after a resume.
  """
  stops = (steps_per_loop, interval)
  return min(stop - step % stop for stop in stops)

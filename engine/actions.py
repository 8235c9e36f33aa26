"""`orbit.Action`s of a training run: what happens after each device loop."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from engine.journal import Journal, LineFile, read_jsonl
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
    self.file = LineFile(path, kept)

  def __call__(self, output: Mapping[str, Any] | None = None) -> None:
    """Logs the steps since the last call."""
    inputs, end = self._trainer.inputs, int(self._trainer.global_step.numpy())
    self.file.append(
      *(
        {"step": step, "ids": inputs.source.ids(inputs.order.indices(step))}
        for step in range(self._next, end)
      )
    )
    self._next = end


class StartLog:
  """How often the run was started, and what its ends have cost.

  A line for each start: a process that is killed before its first log point
  leaves no other trace of what was lost before it.

  Attributes:
    number: starts before this one.
    earlier_seconds: what earlier processes booked; what they did behind the
      restored checkpoint counts as lost.
  """

  def __init__(self, path: str, log: Journal, *, writes: bool):
    """Reads the starts, and adds this one."""
    starts = read_jsonl(path)
    points = [line for line in log.lines if "ledger" in line]
    seconds = dict(points[-1]["ledger"]) if points else {}
    lost = max(
      [seconds.get("lost_to_restart", 0.0)]
      + [start["lost_to_restart"] for start in starts]
    )
    behind = [line for line in log.dropped if "ledger" in line]
    if behind:
      spent = behind[-1]["ledger"]
      done = {**dict.fromkeys(spent, 0.0), **seconds}
      lost += sum(
        spent[bucket] - done[bucket]
        for bucket in spent
        if bucket != "lost_to_restart"
      )
    self.number = len(starts)
    self.earlier_seconds = {**seconds, "lost_to_restart": lost}
    if writes:
      LineFile(path, [*starts, {"step": log.step, "lost_to_restart": lost}])


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

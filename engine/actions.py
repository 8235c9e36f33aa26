"""`orbit.Action`s of a training run: what happens after each device loop."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

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
  leaves no other trace of what was lost before it. And one for each stop that
  was asked for, so that what lies behind the last log point is not lost.

  Attributes:
    number: starts before this one.
    earlier_seconds: what earlier processes booked; what they did behind the
      restored checkpoint counts as lost.
    earlier_work: what their timed steps worked on.
  """

  def __init__(self, path: str, log: Journal, *, began: float, writes: bool):
    """Reads the starts, and adds this one.

    Args:
      path: of the file.
      log: the journal, at the restored step.
      began: time at which this process started, in seconds since 1970.
      writes: false for a worker that only reads.
    """
    lines = read_jsonl(path)
    starts = [line for line in lines if "lost_to_restart" in line]
    stops = [line for line in lines if "ledger" in line]
    booked = [line for line in log.lines if "ledger" in line]
    behind = [line for line in log.dropped if "ledger" in line]
    booked += [stop for stop in stops if stop["step"] <= log.step]
    behind += [stop for stop in stops if stop["step"] > log.step]
    last = max(booked, key=_age, default={"ledger": {}})
    seconds = dict(last["ledger"])
    lost = max(
      [seconds.get("lost_to_restart", 0.0)]
      + [start["lost_to_restart"] for start in starts]
    )
    if behind:
      spent = max(behind, key=_age)["ledger"]
      done = {**dict.fromkeys(spent, 0.0), **seconds}
      lost += sum(
        spent[bucket] - done[bucket]
        for bucket in spent
        if bucket != "lost_to_restart"
      )
    self.number = len(starts)
    self.earlier_seconds = {**seconds, "lost_to_restart": lost}
    work = last.get("work", {})
    # An older version counted no operations, or others.
    if work and "executed_flops" not in work:
      work = {**work, "flops": None, "executed_flops": None}
    self.earlier_work = Work(**work)
    # Such a version noted no time either: then the run begins here.
    self._began = starts[0].get("time", began) if starts else began
    self._file = None
    if writes:
      kept = [x for x in lines if "ledger" not in x or x["step"] <= log.step]
      start = {"step": log.step, "lost_to_restart": lost, "time": began}
      self._file = LineFile(path, [*kept, start])

  def stopped(self, step: int, trainer: Trainer, ledger: Ledger) -> None:
    """Notes what is booked where the run stops as it was told to."""
    if self._file:
      work = dataclasses.asdict(trainer.work)
      self._file.append({"step": step, "work": work, "ledger": ledger.totals()})

  def down_seconds(self, booked: Mapping[str, float], now: float) -> float:
    """Seconds of the run that no process has booked.

    Between two processes, and in the end of one that was killed: behind its
    last log point it left no trace.

    Args:
      booked: seconds of each bucket, over all processes of the run.
      now: seconds since 1970.
    """
    return max(0.0, now - self._began - sum(booked.values()))


class Profile:
  """Profiles some steps, for TensorBoard's page of that name."""

  def __init__(
    self, steps: Sequence[int], directory: str, trainer: Trainer, log: Journal
  ):
    """Initializes the action; loops must end at both steps.

    Args:
      steps: the first, and the one behind the last; none: profiles nothing.
      directory: of TensorBoard's files.
      trainer: whose steps are counted.
      log: shows where the profile is.
    """
    self._steps = tuple(steps)
    self._directory = directory
    self._trainer = trainer
    self._log = log
    self._runs = False

  def __call__(self, output: Mapping[str, Any] | None = None) -> None:
    """Starts or stops at its step."""
    if not self._steps:
      return
    step, (first, last) = int(self._trainer.global_step.numpy()), self._steps
    if not self._runs and first <= step < last:
      tf.profiler.experimental.start(self._directory)
      self._runs = True
    elif self._runs and step >= last:
      self.stop()

  def stop(self) -> None:
    """Writes what was profiled so far."""
    if self._runs:
      tf.profiler.experimental.stop()
      self._runs = False
      first, last = self._steps
      self._log.say(f"profile of steps {first} to {last}: {self._directory}")


def _age(line: Mapping[str, Any]) -> float:
  """What all processes had booked when a line was written."""
  return sum(line["ledger"].values())


def steps_to_stop(
  step: int, steps_per_loop: int, interval: int, others: Sequence[int] = ()
) -> int:
  """Steps of the next loop, so that none crosses a checkpoint or `others`.

  Loops and checkpoints then lie at the same steps before and after a resume.
  """
  stops = (steps_per_loop, interval)
  ahead = [other - step for other in others if other > step]
  return min([*(stop - step % stop for stop in stops), *ahead])

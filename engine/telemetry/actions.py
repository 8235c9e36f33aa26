"""What happens at a log point, and after an evaluation."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from engine.durability.best import BestCheckpoints
from engine.durability.checkpoints import Checkpoints
from engine.lines.cover import Cover
from engine.lines.line_file import LineFile
from engine.lines.reading import read_counted
from engine.loop.evaluator import Evaluator, SplitsEvaluator
from engine.loop.trainer import Trainer
from engine.measure import per_example
from engine.measure.journal import Journal
from engine.measure.ledger import Ledger
from engine.telemetry.digests import DigestLog
from engine.telemetry.job import Job


class TrainLog:
  """Writes a log point: the loop's scalars, rates and the ledger so far."""

  def __init__(
    self,
    *,
    log: Journal,
    trainer: Trainer,
    ledger: Ledger,
    digests: DigestLog | None = None,
  ):
    self._log = log
    self._trainer = trainer
    self._ledger = ledger
    self._digests = digests
    self._last = dataclasses.replace(trainer.work)

  def __call__(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Logs the scalars of a `Trainer` at a step."""
    work, last = self._trainer.work, self._last
    point = dict(scalars)
    if self._digests:
      point |= self._digests(step)
    if work.steps > last.steps:
      seconds = work.seconds - last.seconds
      point["examples_per_second"] = (work.examples - last.examples) / seconds
      point["steps_per_second"] = (work.steps - last.steps) / seconds
    self._last = dataclasses.replace(work)
    point["work"] = dataclasses.asdict(work)
    point["ledger"] = self._ledger.totals()
    self._log.write("train", step, point)


class ExampleIdLog:
  """Writes the ids of each global batch: {"step": k, "ids": [...]} a line."""

  def __init__(self, path: str, trainer: Trainer, covers: Sequence[Cover] = ()):
    """Opens the log at the trainer's step; later lines are dropped.

    Args:
      path: of the file.
      trainer: restored.
      covers: what checkpoints have noted of it.
    """
    self._trainer = trainer
    self._next = int(trainer.global_step.numpy())
    shape = {"step": int, "ids": list}
    lines, self.lost = read_counted(path, shape, covers, set_aside=True)
    kept = [line for line in lines if line["step"] < self._next]
    self.file = LineFile(path, kept)

  def __call__(
    self, end: int, scalars: Mapping[str, Any] | None = None
  ) -> None:
    """Logs the steps since the last call, up to the global step `end`."""
    inputs = self._trainer.inputs
    self.file.append(
      *(
        {"step": step, "ids": inputs.source.ids(inputs.order.indices(step))}
        for step in range(self._next, end)
      )
    )
    self._next = end


class EvaluationLog:
  """Keeps what an evaluation found: good weights, its examples, its metrics.

  In this order: an evaluation whose metrics are logged is not done again.
  """

  def __init__(
    self,
    job: Job,
    *,
    log: Journal,
    trainer: Trainer,
    evaluator: Evaluator | SplitsEvaluator,
    best: BestCheckpoints,
    newest: Checkpoints,
  ):
    """Initializes the action.

    Args:
      job: whose run it is.
      log: of the metrics.
      trainer: whose weights were evaluated.
      evaluator: that did it.
      best: keeps the weights if they are among the best.
      newest: has saved them before.
    """
    self._job = job
    self._log = log
    self._trainer = trainer
    self._evaluator = evaluator
    self._best = best
    self._newest = newest

  def __call__(self, output: Mapping[str, Any]) -> None:
    """Keeps `output`, the metrics."""
    assert self._evaluator, "it has evaluated"
    step, job = int(self._trainer.global_step.numpy()), self._job
    self._newest.settle()  # What is best has a checkpoint behind it.
    self._best.check(output)
    if job.is_chief:
      self._best.offer(step, output)
      per_example.keep(
        job.directory.path,
        job.config.evaluation.splits,
        [(x.table, x.inputs.source) for x in self._evaluator.evaluators],
        step=step,
        log=self._log,
      )
    self._log.write("eval", step, output)
    self._newest.cover()


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


def steps_to_stop(
  step: int, intervals: Sequence[int], others: Sequence[int] = ()
) -> int:
  """Steps until the next multiple of an interval, or until one of `others`.

  Training waits for the host there, at the same steps before and after a
  resume.
  """
  ahead = [other - step for other in others if other > step]
  return min([*(every - step % every for every in intervals), *ahead])

"""An open run: from where its checkpoint is to its result, or to a stop."""

import time
import typing
from collections.abc import Sequence
from typing import Any

import orbit
import orbit.controller
import tensorflow as tf
from absl import logging

from engine.cluster.peers import agree_on, part
from engine.cluster.strategies import describe
from engine.durability import checkpoints, manifest
from engine.durability.best import BestCheckpoints
from engine.durability.committer import Committer
from engine.durability.lock import Lock
from engine.errors import Preempted, SaveFailed, StopRequested
from engine.files import DISK_ERRORS, reason_of
from engine.goal import goal_of, stops_early
from engine.loop.epochs import epoch_ends
from engine.loop.evaluator import Evaluator, SplitsEvaluator
from engine.measure import environment, result
from engine.measure.ledger import goodput
from engine.measure.peaks import find_peak
from engine.measure.terminal import Terminal
from engine.run.actions import EvaluationLog, steps_to_stop
from engine.run.builder import Builder
from engine.run.job import Job
from engine.run.logs import Logs
from engine.run.managers import build_managers
from engine.settings import identity
from engine.task import Source, digest_of


class Session:
  """A run that trains: restored, with its logs open, wired into Orbit.

  for end in ends of epochs:
    train until end, saving on the way and there
    evaluate, keep the weights if they are among the best
  write result.json

  A notice to stop ends the loops at the next boundary of steps: the run saves
  there and raises `Preempted`.
  """

  def __init__(
    self,
    job: Job,
    builder: Builder,
    train: Source,
    devs: Sequence[Source],
    *,
    terminal: Terminal,
    lock: Lock,
  ):
    """Builds the parts, restores them and opens the logs.

    Args:
      job: what to do.
      builder: of the parts.
      train: the split to train on.
      devs: the splits to evaluate; none: there is no evaluation.
      terminal: shows how the run gets on.
      lock: of the run directory, which the chief holds.

    Raises:
      UserError: where the directory's checkpoints do not fit, or workers differ
        in what they restored.
    """
    self._job = job
    self._ends = epoch_ends(job.config.train, len(train))
    self._evaluates = bool(devs)
    self._model, self._trainer, evaluator = builder.parts(train, *devs)
    committer = Committer(
      config=identity(job.config),
      versions=environment.versions(),
      settings=job.directory.settings(job.config) if job.is_chief else None,
      lock=lock,
      writes=job.is_chief,
    )
    with job.strategy.scope():
      self._manager, best = build_managers(
        job, self._model, self._trainer, committer
      )
      restored = self._manager.begin(
        self._initialize,
        config=job.config,
        allowed={*job.allowed, *job.directory.changed()},
      )
    step = self._step()
    weights = (weight.numpy() for weight in self._model.weights)
    agree_on(
      job.strategy, step_of_the_checkpoint=step, weights=digest_of(*weights)
    )
    self._logs = Logs(job, self._trainer, terminal)
    committer.logs += self._logs.files
    job.ledger.add(self._logs.starts.earlier_seconds)
    self._trainer.work = self._logs.starts.earlier_work
    if job.is_chief:
      committer.listeners.append(self._logs.starts.committed)
      best.rewind(step, self._logs.evaluations)
    self._best = best
    if restored:
      terminal.say(f"resumed at step {step} from {restored}")
    self._controller = self._wire(evaluator, best)

  def _initialize(self) -> None:
    self._job.task.initialize(self._model, self._job.config.train.seed)
    if self._trainer.averages:
      self._trainer.averages.begin()

  def _wire(
    self,
    evaluator: Evaluator | SplitsEvaluator | None,
    best: BestCheckpoints,
  ) -> orbit.Controller:
    job, runtime = self._job, self._job.config.runtime
    log, trainer = self._logs.journal, self._trainer
    after_evaluation = evaluator and EvaluationLog(
      job, log=log, trainer=trainer, evaluator=evaluator, best=best
    )
    silence_orbit()
    return orbit.Controller(
      global_step=trainer.global_step,
      trainer=trainer,
      evaluator=evaluator,
      strategy=job.strategy,
      steps_per_loop=lambda now: steps_to_stop(
        int(now),
        runtime.steps_per_loop,
        self._manager.checkpoint_interval,
        runtime.profiled,
      ),
      checkpoint_manager=self._manager,
      train_actions=self._logs.train_actions(),
      # A save that runs beside ends first: what is best has one behind it.
      eval_actions=(
        [lambda output: self._manager.settle(), after_evaluation]
        if after_evaluation
        else []
      ),
    )

  def _step(self) -> int:
    return int(self._trainer.global_step.numpy())

  def settle(self) -> str | None:
    """Waits for a save that runs beside; returns the newest checkpoint."""
    return self._manager.settle()

  def run(self) -> dict[str, Any]:
    """Trains to the end, from wherever the run is; returns its result.

    Raises:
      Preempted: where the run was told to stop, and has saved.
      SaveFailed: where the weights or the result could not be written.
      FloatingPointError: where a loss or gradient is not finite.
    """
    self._job.ledger.started()
    if self._job.notices:
      self._job.notices.begin()
    try:
      early = self._train()
    except StopRequested as stop:
      self._stop(str(stop))
    self._logs.profile.stop()
    path = self._job.directory.path
    saved = self.settle()
    if self._job.is_chief and not _is_of(saved, self._step()):
      raise SaveFailed(
        f"The last checkpoint could not be written to {path}: make room "
        "there; the same command goes on from the one before."
      )
    lost = self._logs.lost
    if self._job.is_chief and (steps := self._best.finish()):
      lost["best"] = steps
    found = self._result(stopped_early=early, lost=lost)
    try:
      self._logs.close()
      if self._job.is_chief:
        self._job.directory.write_result(found)
    except DISK_ERRORS as error:
      raise SaveFailed(
        f"The result could not be written to {path} ({reason_of(error)}): "
        "make room there, and give the same command."
      ) from error
    return found

  def _train(self) -> bool:
    """Trains and evaluates; returns whether nothing got better any more."""
    config, log = self._job.config, self._logs.journal
    for end in self._ends:
      if self._step() < end:
        self._controller.train(end)
      reached = self._step() == end
      if self._evaluates and reached and not log.has("eval", end):
        self._controller.evaluate()
      if end < self._ends[-1] and stops_early(
        self._logs.evaluations,
        goal_of(config, self._job.task),
        config.evaluation.patience,
      ):
        return True
    return False

  def _stop(self, reason: str) -> typing.NoReturn:
    """Saves where the run was told to stop, and leaves."""
    job, step = self._job, self._step()
    self._logs.catch_up()
    self._manager.save(checkpoint_number=step, check_interval=False)
    saved = self.settle()
    self._logs.stopped(step)
    job.progress.report(step=step, stopped=reason)
    part(job.strategy)
    stop_file = job.directory.file("stop")
    if job.is_chief and tf.io.gfile.exists(stop_file):
      tf.io.gfile.remove(stop_file)
    where = "saved" if _is_of(saved, step) else f"the newest is {saved}"
    if not job.is_chief:
      where = "the chief has saved"
    raise Preempted(
      f"{reason}: stopped at step {step}, {where}; the same command goes on."
    )

  def _result(
    self, *, stopped_early: bool, lost: dict[str, Any]
  ) -> dict[str, Any]:
    job, trainer, step = self._job, self._trainer, self._step()
    evaluations = [
      {k: v for k, v in x.items() if k not in ("step", "kind", "ledger")}
      for x in self._logs.journal.lines
      if (x["kind"], x["step"]) == ("eval", step)
    ]
    memory = environment.peak_memory_bytes()  # Finding the peak takes some too.
    precision, work = job.config.train.precision, trainer.work
    peak = find_peak(job.strategy, precision, work.flops or 0.0)
    booked = job.ledger.totals()
    down = self._logs.starts.down_seconds(booked, time.time())
    return {
      "global_step": step,
      "seed": job.config.train.seed,
      "eval": evaluations[-1] if evaluations else None,
      "train": result.rates(work, job.strategy.num_replicas_in_sync, peak),
      "ledger": booked,
      "down_seconds": down,
      "goodput": goodput(booked, down),
      "traces": trainer.programs.traces,
      "weights_sha256": result.weights_sha256(self._model),
      "stopped_early": stopped_early,
      "skipped_batches": int(trainer.guard.skipped.numpy()),
      "restarts": self._logs.starts.number,
      "lost": lost,
      "checkpoints": checkpoints.stalls(self._manager),
      **describe(job.strategy),
      "precision": precision,
      "peak_memory_bytes": memory,
      **environment.environment(),
      "command": job.command,
    }


def silence_orbit() -> None:
  """Sends Orbit's own lines to the debug log.

  It prints each, with a steps/s that contains evaluation and checkpoints; the
  journal shows what is true.
  """
  orbit.controller._log = logging.debug


def _is_of(prefix: str | None, step: int) -> bool:
  """Whether there is a checkpoint, of that step."""
  return prefix is not None and manifest.step_of(prefix) == step

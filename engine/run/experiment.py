"""Wires the rooms of the engine into one `orbit.Controller` and runs a mode."""

import contextlib
import dataclasses
import time
import typing
from collections.abc import Collection
from typing import Any

import orbit
import orbit.controller
import tensorflow as tf
import tf_keras
from absl import logging

from engine.cluster.peers import agree, lost_peers_named, together
from engine.cluster.strategies import (
  create_strategy,
  describe,
  is_chief,
  workers_of,
)
from engine.config import ExperimentConfig
from engine.durability import checkpoints, manifest
from engine.durability.best import goal_of, stops_early
from engine.durability.checkpoints import Checkpoints
from engine.durability.lock import Lock
from engine.durability.restore import restore_newest
from engine.durability.run_directory import RunDirectory
from engine.errors import Preempted, SaveFailed, StopRequested, UserError
from engine.files import DISK_ERRORS, reason_of
from engine.loop.boundary import Boundary
from engine.loop.epochs import epoch_ends
from engine.loop.trainer import Trainer
from engine.measure import environment, result
from engine.measure import per_example as examples
from engine.measure.journal import Journal
from engine.measure.ledger import Ledger, goodput
from engine.measure.line_file import LineFile
from engine.measure.peaks import find_peak
from engine.measure.terminal import Terminal
from engine.process.preemption import Notices
from engine.process.progress import Progress
from engine.run.actions import ExampleIdLog, Profile, TrainLog, steps_to_stop
from engine.run.builder import Builder
from engine.run.follow import follow
from engine.run.managers import build_managers
from engine.run.starts import StartLog
from engine.task import Source, Task, digest_of

MODES = ("train", "eval", "train_and_eval", "continuous_eval")

# Orbit prints each of its log lines, with a steps/s that contains evaluation
# and checkpoints. The journal shows what is true; those go to the debug log.
orbit.controller._log = logging.debug


class Experiment:
  """One run of one task in one directory.

  lock the directory
  restore the newest whole checkpoint, or initialize
  for end in ends of epochs:
    train until end, saving on the way and there
    evaluate, keep the weights if they are among the best
  write result.json

  A notice to stop ends the loops at the next boundary of steps: the run saves
  there and raises `Preempted`.
  """

  def __init__(
    self,
    *,
    config: ExperimentConfig,
    task: Task,
    model_dir: str,
    command: str = "",
    ledger: Ledger | None = None,
    strategy: tf.distribute.Strategy | None = None,
    notices: Notices | None = None,
    progress: Progress | None = None,
    allowed: Collection[str] = (),
  ):
    """Initializes the experiment; builds the strategy.

    Args:
      config: of the run.
      task: what is learned.
      model_dir: directory of the run.
      command: the command line that resumes it, for the report.
      ledger: one that books since the start of the process.
      strategy: instead of the one that the config asks for.
      notices: what may tell the run to stop.
      progress: tells a supervisor how the run gets on.
      allowed: settings in which the run may differ from what the directory
        holds.

    Raises:
      UserError: where the devices do not fit the config.
    """
    self._config = config
    self._task = task
    self._directory = RunDirectory(model_dir)
    self._command = command
    self._ledger = ledger or Ledger()
    self._strategy = strategy or create_strategy(config.runtime)[0]
    self.is_chief = is_chief(self._strategy)
    self._quiet = config.runtime.quiet or not self.is_chief
    self._notices = notices
    self._progress = progress or Progress("")
    self._allowed = allowed
    boundary = Boundary(
      strategy=self._strategy,
      grace=config.runtime.grace_seconds,
      notices=notices,
      progress=self._progress,
    )
    self._builder = Builder(
      config=config,
      task=task,
      strategy=self._strategy,
      ledger=self._ledger,
      boundary=boundary,
    )

  def run(self, mode: str) -> dict[str, Any]:
    """Runs one of `MODES`; returns the result, or the last evaluation.

    Raises:
      UserError: where that cannot be done as asked.
      PeerLost: where another worker ended.
      Preempted: where the run was told to stop, and has saved.
    """
    assert mode in MODES, mode
    with lost_peers_named(self._strategy):
      if mode == "eval":
        outcome = self._evaluate()
      elif mode == "continuous_eval":
        outcome = self._evaluate_continuously()
      else:
        outcome = self._train(with_evaluation=mode == "train_and_eval")
      self._part()
    return outcome

  def _train(self, *, with_evaluation: bool) -> dict[str, Any]:
    """Trains to the end, from wherever the run is."""
    with contextlib.ExitStack() as stack:
      with together(self._strategy):
        changed = self._directory.check(self._config, self._allowed)
        source = self._task.source("train")
        devs = self._devs() if with_evaluation else []
        done = self._directory.result()
        if changed or (done and with_evaluation and not done["eval"]):
          done = None
        lock = Lock(self._directory.path)
        if self.is_chief and not done:
          stale = lock.acquire()
          stack.callback(lock.release)
      self._agree_on(finished=done is not None, train=source)
      self._agree_on_devs(devs)
      ends = epoch_ends(self._config.train, len(source))
      terminal = Terminal(train_steps=ends[-1], quiet=self._quiet)
      if done:
        terminal.say(f"finished before: {self._directory.path}")
        return done
      if self.is_chief:
        if stale:
          terminal.say(stale)
        self._directory.clear()
        self._directory.forget_result()  # Before the config that makes it old.
        self._directory.create(self._config, changed)
        self._task.save_assets(self._directory.assets)
      run = self._start(source, devs, ends, terminal, lock)
      # However it ends: a save that runs beside ends before the lock does.
      stack.callback(run.manager.settle)
      return self._run_to_the_end(run, with_evaluation)

  def _start(
    self,
    source: Source,
    devs: list[Source],
    ends: list[int],
    terminal: Terminal,
    lock: Lock,
  ) -> "_Run":
    """Builds the parts, restores them and opens the logs."""
    model, trainer, evaluator = self._builder.parts(source, *devs)
    step = trainer.global_step
    with self._strategy.scope():
      files: list[LineFile] = []
      manager, best = build_managers(
        config=self._config,
        task=self._task,
        directory=self._directory,
        model=model,
        trainer=trainer,
        train_steps=ends[-1],
        lock=lock,
        files=files,
        ledger=self._ledger,
        allowed=self._allowed,
        writes=self.is_chief,
      )
      restored = manager.restore_or_initialize()
    now = int(step.numpy())
    self._agree_on(
      step_of_the_checkpoint=now,
      weights=digest_of(*(weight.numpy() for weight in model.weights)),
    )
    log = Journal(
      self._directory.path, step=now, terminal=terminal, writes=self.is_chief
    )
    self._agree_on(evaluations=sum(x["kind"] == "eval" for x in log.lines))
    starts = StartLog(
      self._directory.file("restarts.jsonl"),
      log,
      began=time.time() - sum(self._ledger.totals().values()),
      writes=self.is_chief,
    )
    self._ledger.add(starts.earlier_seconds)
    trainer.work = starts.earlier_work
    if self.is_chief:
      best.rewind(now)
    if restored:
      terminal.say(f"resumed at step {now} from {restored}")
    ids = self._example_id_log(trainer)
    if self.is_chief:
      files += [log.file, *(x.file for x in ids)]
    profile = Profile(
      self._config.runtime.profiled if self.is_chief else (),
      self._directory.file("tensorboard/train"),
      trainer,
      log,
    )
    profile()
    controller = orbit.Controller(
      global_step=step,
      trainer=trainer,
      evaluator=evaluator,
      strategy=self._strategy,
      steps_per_loop=lambda now: steps_to_stop(
        int(now),
        self._config.runtime.steps_per_loop,
        manager.checkpoint_interval,
        self._config.runtime.profiled,
      ),
      checkpoint_manager=manager,
      train_actions=[
        TrainLog(log=log, trainer=trainer, ledger=self._ledger),
        *ids,
        profile,
      ],
      eval_actions=[
        # In this order: an evaluation that is logged is not done again.
        best.check,
        lambda output: self.is_chief and best.offer(int(step.numpy()), output),
        lambda output: log.write("eval", int(step.numpy()), output),
        lambda _: (
          self.is_chief
          and examples.keep(
            self._directory.path,
            self._config.evaluation.splits,
            [(x.table, x.inputs.source) for x in evaluator.evaluators],
            step=int(step.numpy()),
            log=log,
          )
        ),
      ],
    )
    return _Run(
      model=model,
      trainer=trainer,
      controller=controller,
      manager=manager,
      log=log,
      ids=ids,
      files=files,
      ends=ends,
      starts=starts,
      profile=profile,
    )

  def _run_to_the_end(
    self, run: "_Run", with_evaluation: bool
  ) -> dict[str, Any]:
    step, log = run.trainer.global_step, run.log
    self._ledger.started()
    if self._notices:
      self._notices.begin()
    early = False
    try:
      for end in run.ends:
        if int(step.numpy()) < end:
          run.controller.train(end)
        last = int(step.numpy()) == end and not log.has("eval", end)
        if with_evaluation and last:
          run.controller.evaluate()
        early = end < run.ends[-1] and stops_early(
          [line for line in log.lines if line["kind"] == "eval"],
          goal_of(self._config, self._task),
          self._config.evaluation.patience,
        )
        if early:
          break
    except StopRequested as stop:
      self._stop(run, str(stop))
    run.profile.stop()
    saved = run.manager.settle()
    if self.is_chief and not _is_of(saved, int(step.numpy())):
      raise SaveFailed(
        f"The last checkpoint could not be written to {self._directory.path}: "
        "make room there; the same command goes on from the one before."
      )
    final = self._result(run, stopped_early=early)
    try:
      log.close()
      for ids in run.ids:
        ids.file.close()
      if self.is_chief:
        self._directory.write_result(final)
    except DISK_ERRORS as error:
      raise SaveFailed(
        f"The result could not be written to {self._directory.path} "
        f"({reason_of(error)}): make room there, and give the same command."
      ) from error
    return final

  def _stop(self, run: "_Run", reason: str) -> typing.NoReturn:
    """Saves where the run was told to stop, and leaves."""
    step = int(run.trainer.global_step.numpy())
    run.profile.stop()
    for log in run.ids:
      log()
    for file in run.files:
      file.append()  # What waits for room gets another chance.
    run.manager.save(checkpoint_number=step, check_interval=False)
    saved = run.manager.settle()
    with contextlib.suppress(*DISK_ERRORS):
      run.log.close()
    run.starts.stopped(step, run.trainer, self._ledger)
    self._progress.report(step=step, stopped=reason)
    self._part()
    stop_file = self._directory.file("stop")
    if self.is_chief and tf.io.gfile.exists(stop_file):
      tf.io.gfile.remove(stop_file)
    where = "saved" if _is_of(saved, step) else f"the newest is {saved}"
    if not self.is_chief:
      where = "the chief has saved"
    raise Preempted(
      f"{reason}: stopped at step {step}, {where}; the same command goes on."
    )

  def _part(self) -> None:
    """Lets no worker go before all are done: its end would look like a loss.

    Who hears the last word late may find the others gone; that is no loss now.
    """
    with contextlib.suppress(tf.errors.OpError):
      self._agree_on(end=0)

  def _result(self, run: "_Run", *, stopped_early: bool) -> dict[str, Any]:
    trainer, log = run.trainer, run.log
    step = int(trainer.global_step.numpy())
    evaluations = [
      {k: v for k, v in x.items() if k not in ("step", "kind", "ledger")}
      for x in log.lines
      if (x["kind"], x["step"]) == ("eval", step)
    ]
    memory = environment.peak_memory_bytes()  # Finding the peak takes some too.
    precision, work = self._config.train.precision, trainer.work
    peak = find_peak(self._strategy, precision, work.flops or 0.0)
    booked = self._ledger.totals()
    down = run.starts.down_seconds(booked, time.time())
    return {
      "global_step": step,
      "seed": self._config.train.seed,
      "eval": evaluations[-1] if evaluations else None,
      "train": result.rates(work, self._strategy.num_replicas_in_sync, peak),
      "ledger": booked,
      "down_seconds": down,
      "goodput": goodput(booked, down),
      "traces": trainer.programs.traces,
      "weights_sha256": result.weights_sha256(run.model),
      "stopped_early": stopped_early,
      "skipped_batches": int(trainer.guard.skipped.numpy()),
      "restarts": run.starts.number,
      "checkpoints": checkpoints.stalls(run.manager),
      **describe(self._strategy),
      "precision": precision,
      "peak_memory_bytes": memory,
      **environment.environment(),
      "command": self._command,
    }

  def _evaluate(self) -> dict[str, Any]:
    """Evaluates the newest checkpoint."""
    with together(self._strategy):
      self._directory.check(self._config, self._allowed)
      devs = self._devs()
    self._agree_on_devs(devs)
    evaluator, checkpoint = self._builder.reader(*devs)
    restore_newest(checkpoint, self._directory.checkpoints)
    step = int(checkpoint.global_step.numpy())
    self._agree_on(step_of_the_checkpoint=step)
    return {
      "global_step": step,
      **evaluator.evaluate(tf.constant(-1)),
    }

  def _evaluate_continuously(self) -> dict[str, Any]:
    """Evaluates each new checkpoint until the run ends or none comes."""
    if len(workers_of(self._strategy)) > 1:
      raise UserError(
        "`mode` is 'continuous_eval', which runs beside the workers in a "
        "process of its own: start it without a cluster."
      )
    self._directory.check(self._config, self._allowed)
    source = self._task.source("train")
    evaluator, checkpoint = self._builder.reader(*self._devs())
    return follow(
      evaluator,
      checkpoint,
      directory=self._directory,
      config=self._config.evaluation,
      train_steps=epoch_ends(self._config.train, len(source))[-1],
      quiet=self._quiet,
    )

  def _devs(self) -> list[Source]:
    return [self._task.source(x) for x in self._config.evaluation.splits]

  def _agree_on_devs(self, devs: list[Source]) -> None:
    names = self._config.evaluation.splits[: len(devs)]
    self._agree_on(**dict(zip(names, devs, strict=True)))

  def _agree_on(self, **facts: int | Source) -> None:
    """Stops all workers where they hold different facts or data."""
    numbers = {}
    for name, fact in facts.items():
      name = name.replace("_", " ")
      if isinstance(fact, Source):
        numbers[f"number of {name} examples"] = len(fact)
        numbers[f"digest of {name} examples"] = fact.digest()
      else:
        numbers[name] = int(fact)
    agree(self._strategy, numbers)

  def _example_id_log(self, trainer: Trainer) -> list[ExampleIdLog]:
    if not (self._config.runtime.log_example_ids and self.is_chief):
      return []
    return [ExampleIdLog(self._directory.file("example_ids.jsonl"), trainer)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Run:
  """The parts of a run that trains."""

  model: tf_keras.Model
  trainer: Trainer
  controller: orbit.Controller
  manager: Checkpoints
  log: Journal
  ids: list[ExampleIdLog]
  files: list[LineFile]
  ends: list[int]
  starts: StartLog
  profile: Profile


def _is_of(prefix: str | None, step: int) -> bool:
  """Whether there is a checkpoint, of that step."""
  return prefix is not None and manifest.step_of(prefix) == step

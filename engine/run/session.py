"""An open run: from where its checkpoint is to its result, or to a stop."""

import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from engine.cluster.peers import agree_on, part
from engine.durability import assets, checkpoints, manifest, own, restore
from engine.durability.committer import Committer
from engine.durability.lock import Lock
from engine.errors import Preempted, SaveFailed, StopRequested, UserError
from engine.files import DISK_ERRORS, reason_of
from engine.lines.reading import read_jsonl
from engine.loop.epochs import epoch_ends, evaluation_steps
from engine.measure import environment
from engine.measure.goal import goal_of, stops_early
from engine.measure.journal import POINT
from engine.measure.terminal import Terminal
from engine.run import found, shared_restore
from engine.run.builder import Builder, build_managers
from engine.run.controller import build_controller
from engine.run.outcome import outcome
from engine.run.sweeping import sweep
from engine.settings import identity
from engine.task import Source, digest_of
from engine.telemetry.job import Job
from engine.telemetry.logs import Logs

# What a metric may raise of few examples, and not of all.
_OF_THE_EXAMPLES = (
  *(ValueError, ArithmeticError, LookupError),
  *(AssertionError, RuntimeError),
)


class Session:
  """A run that trains: restored, with its logs open, wired into Orbit.

  for end in ends of epochs, or steps of an interval:
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
    data: Mapping[str, Any],
    changed: Collection[str],
    terminal: Terminal,
    lock: Lock,
  ):
    """Builds the parts and restores them; `open` comes next.

    Args:
      job: what to do.
      builder: of the parts.
      train: the split to train on.
      devs: the splits to evaluate; none: there is no evaluation.
      data: what tells these splits from others, as `found.Found` has it.
      changed: settings and data in which it was allowed to change.
      terminal: shows how the run gets on.
      lock: of the run directory, which the chief holds.

    Raises:
      UserError: where the directory's checkpoints do not fit, workers differ in
        what they restored, or a setting asks for what will not be there.
      FloatingPointError: where the weights to begin with are not finite.
    """
    self._job = job
    self._terminal = terminal
    self._data, self._changed = data, changed
    self._evaluates = bool(devs)
    self._ends = epoch_ends(job.config.train, len(train))
    if devs:
      self._ends = evaluation_steps(job.config, len(train))
    self._model, self._trainer, self._evaluator = builder.parts(
      train, *devs, order=data["train"]["order"]
    )
    for said in (self._trainer.inputs.choice, str(builder.xla)):
      if said:
        terminal.say(said)
    self._committer = Committer(
      config=identity(job.config),
      versions=environment.versions(),
      settings=job.directory.settings(job.config, changed)
      if job.is_chief
      else None,
      lock=lock,
      writes=job.is_chief,
    )
    with job.strategy.scope():
      self._manager, self._best = build_managers(
        job, self._model, self._trainer, self._committer
      )
      self._restored = shared_restore.begin(
        job,
        self._manager,
        self._initialize,
        allowed={*job.allowed, *job.directory.changed()},
      )
    self._trainer.check_finite()
    step = self._step()
    weights = (weight.numpy() for weight in self._model.weights)
    logged = read_jsonl(job.directory.file("metrics.jsonl"), POINT)
    agree_on(
      job.strategy,
      step_of_the_checkpoint=step,
      weights=digest_of(*weights),
      evaluations=sum(
        x["kind"] == "eval" and x["step"] <= step for x in logged
      ),
    )
    self._check_metric()

  def _check_metric(self) -> None:
    """Refuses a metric that says what is best, and that no evaluation has.

    And one of the user's own that fails whatever the examples are.
    """
    config, task = self._job.config, self._job.task
    goal = goal_of(config, task)
    asked = config.checkpoint.best_to_keep or config.evaluation.patience
    asked = asked and goal.metric != task.goal[0]
    if not self._evaluator or not (asked or task.more_metrics):
      return
    try:
      metrics = self._evaluator.metrics_of_a_batch()
    except UserError as error:
      if isinstance(error.__cause__, _OF_THE_EXAMPLES):
        return  # All examples may have what a batch lacks.
      raise
    if asked:
      goal.value_of(metrics)

  def open(self) -> None:
    """Opens the run for writing, behind all checks.

    Raises:
      UserError: where the directory cannot be written.
    """
    job, directory, step = self._job, self._job.directory, self._step()
    splits = job.config.evaluation.splits
    apart = {f"{found.DATA}.{split}" for split in splits} & {*self._changed}
    try:
      if job.is_chief:
        own.check_places(manifest.prefixes(directory.best))
        sweep(directory, step)
        directory.prepare()
        directory.forget_result()  # Before the config that makes it old.
        directory.create(job.config, self._changed)
        assets.unseal(directory)
        job.task.save_assets(directory.assets)
        assets.seal(directory)
      # What was evaluated on other data here is evaluated again.
      self._logs = Logs(
        job, self._trainer, self._terminal, evaluates_again=bool(apart)
      )
      if job.is_chief:
        found.note_data(directory, self._data)
        self._best.rewind(step, self._logs.evaluations)
    except DISK_ERRORS as error:
      raise directory.not_writable(error) from error
    self._committer.logs += self._logs.files
    self._committer.committed = job.watching.committed
    self._manager.cover()  # Later lines have been dropped, or are lost.
    job.watching.begin(directory.path, job.config, step)
    job.ledger.add(self._logs.starts.earlier_seconds)
    self._trainer.work = self._logs.starts.earlier_work
    if job.is_chief:
      self._manager.listeners.append(self._logs.starts.committed)
    if self._restored:
      self._terminal.say(f"resumed at step {step} from {self._restored}")
    elif dropped := self._logs.journal.dropped:
      self._terminal.say(
        f"begun anew: {len(dropped)} log point(s) had no checkpoint behind them"
      )
    self._controller = build_controller(
      job,
      self._logs,
      trainer=self._trainer,
      evaluator=self._evaluator,
      newest=self._manager,
      best=self._best,
    )

  def _initialize(self) -> None:
    task, train = self._job.task, self._job.config.train
    task.initialize(self._model, train.seed)
    if train.init_from:
      self._terminal.say(restore.inherit(task, self._model, train.init_from))
    if self._trainer.averages:
      self._trainer.averages.begin()

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
    lost: dict[str, Any] = {**self._logs.starts.lost}
    lost |= self._job.watching.failed
    if self._job.is_chief and (steps := self._best.finish()):
      lost["best"] = steps
    reported = outcome(
      self._job,
      self._model,
      self._trainer,
      self._logs,
      best=self._best.best,
      saves=checkpoints.stalls(self._manager),
      stopped_early=early,
      lost=lost,
    )
    try:
      self._logs.close()
      if self._job.is_chief:
        sweep(self._job.directory, self._step())
        self._job.directory.write_result(reported)
        lost = reported["lost"]
        self._job.watching.end(reported)
        if reported["lost"] != lost:  # Who has failed only now.
          self._job.directory.write_result(reported)
    except DISK_ERRORS as error:
      raise SaveFailed(
        f"The result could not be written to {path} ({reason_of(error)}): "
        "make room there, and give the same command."
      ) from error
    return reported

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
    where = "saved" if _is_of(saved, step) else f"the newest is {saved}"
    goes_on = "the same command goes on"
    if not job.is_chief:
      where = "the chief has saved"
    elif not job.directory.take_stop_file():
      goes_on += f" once {job.directory.file('stop')} is away"
    raise Preempted(f"{reason}: stopped at step {step}, {where}; {goes_on}.")


def _is_of(prefix: str | None, step: int) -> bool:
  """Whether there is a checkpoint, of that step."""
  return prefix is not None and manifest.step_of(prefix) == step

"""The modes of a run: who may begin, what must be equal on all workers."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from engine.cluster.peers import agree_on, lost_peers_named, part, together
from engine.cluster.strategies import create_strategy, is_chief, workers_of
from engine.config import ExperimentConfig
from engine.durability import assets
from engine.durability.lock import Lock
from engine.durability.restore import restore_newest
from engine.durability.run_directory import RunDirectory
from engine.errors import UserError
from engine.loop.boundary import Boundary
from engine.loop.epochs import epoch_ends
from engine.measure.ledger import Ledger
from engine.measure.result import weights_at
from engine.measure.terminal import Terminal
from engine.process.parent import ends_with_parent
from engine.process.preemption import Notices
from engine.process.progress import Progress
from engine.run.builder import Builder
from engine.run.follow import follow
from engine.run.found import (
  differences,
  facts_of,
  find,
  noted_data,
  with_shapes,
)
from engine.run.session import Session
from engine.run.sweeping import sweep_finished
from engine.task import Source, Task, Watcher
from engine.telemetry.job import Job
from engine.telemetry.watching import Watching

MODES = ("train", "eval", "train_and_eval", "continuous_eval")


class Experiment:
  """One run of one task in one directory.

  check that the directory holds this run, or nothing; lock it; check again
  build a session: restore the newest whole checkpoint, or initialize
  open it: the first write
  train, evaluate and save to the end; write result.json

  Attributes:
    trained: false where the run had finished before.
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
    watchers: Iterable[Watcher] = (),
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
      watchers: are told how the run gets on, on the chief.

    Raises:
      UserError: where the devices do not fit the config.
    """
    self.trained = True
    directory = RunDirectory(model_dir)
    config = with_shapes(config, directory)
    strategy = strategy or create_strategy(config.runtime)[0]
    self._job = job = Job(
      config=config,
      task=task,
      directory=directory,
      strategy=strategy,
      ledger=ledger or Ledger(),
      progress=progress or Progress(""),
      notices=notices,
      command=command,
      allowed=allowed,
      watching=Watching(watchers if is_chief(strategy) else ()),
    )
    self._builder = Builder(
      config=config,
      task=task,
      strategy=job.strategy,
      ledger=job.ledger,
      boundary=Boundary(
        strategy=job.strategy,
        grace=config.runtime.grace_seconds,
        notices=notices,
        progress=job.progress,
      ),
    )

  @property
  def is_chief(self) -> bool:
    """Whether this process is the one that writes the run's files."""
    return self._job.is_chief

  def run(self, mode: str) -> dict[str, Any]:
    """Runs one of `MODES`; returns the result, or the last evaluation.

    Raises:
      UserError: where that cannot be done as asked.
      PeerLost: where another worker ended.
      Preempted: where the run was told to stop, and has saved.
    """
    assert mode in MODES, mode
    with lost_peers_named(self._job.strategy):
      if mode == "eval":
        outcome = self._evaluate()
      elif mode == "continuous_eval":
        outcome = self._evaluate_continuously()
      else:
        outcome = self._train(with_evaluation=mode == "train_and_eval")
      part(self._job.strategy)
    return outcome

  def _train(self, *, with_evaluation: bool) -> dict[str, Any]:
    """Trains to the end, from wherever the run is."""
    job = self._job
    with contextlib.ExitStack() as stack:
      with together(job.strategy):
        source = job.task.source("train")
        devs = self._devs() if with_evaluation else []
        data = self._facts(devs, train=source)
        found = find(job, data, evaluates=with_evaluation)
      self._agree_on(data, finished=found.result is not None)
      lock = Lock(job.directory.path, parent=ends_with_parent())
      stale = ""
      if not found.result:
        with together(job.strategy):
          if job.is_chief:
            stale = lock.acquire()
            stack.callback(lock.release)
        with together(job.strategy):
          # Again: another job may have had the directory meanwhile.
          found = find(job, data, evaluates=with_evaluation)
        agree_on(job.strategy, finished=found.result is not None)
      ends = epoch_ends(job.config.train, len(source))
      terminal = Terminal(train_steps=ends[-1], quiet=job.quiet)
      for remark in filter(None, (stale, *found.remarks)):
        terminal.say(remark)
      if found.result:
        terminal.say(f"finished before: {job.directory.path}")
        self.trained = False
        if job.is_chief:
          sweep_finished(job.directory, lock, found.result["global_step"])
        return dict(found.result)
      session = Session(
        job,
        self._builder,
        source,
        devs,
        data=found.data,
        changed=found.changed,
        terminal=terminal,
        lock=lock,
      )
      # However it ends: a save that runs beside ends before the lock does.
      stack.callback(session.settle)
      with together(job.strategy):
        session.open()
      return session.run()

  def _evaluate(self) -> dict[str, Any]:
    """Evaluates the newest checkpoint."""
    job = self._job
    with together(job.strategy):
      job.directory.check(job.config, job.allowed)
      assets.check(job.directory)
      devs = self._devs()
      data = self._facts(devs)
    self._agree_on(data)
    self._tell_apart(data)
    evaluator, checkpoint = self._builder.reader(*devs)
    restore_newest(checkpoint, job.directory.checkpoints)
    step = int(checkpoint.global_step.numpy())
    agree_on(job.strategy, step_of_the_checkpoint=step)
    return {
      "global_step": step,
      "eval_weights": weights_at(
        step, averages=getattr(checkpoint, "averages", None)
      ),
      **evaluator.evaluate(tf.constant(-1)),
    }

  def _evaluate_continuously(self) -> dict[str, Any]:
    """Evaluates each new checkpoint until the run ends or none comes."""
    job = self._job
    if len(workers_of(job.strategy)) > 1:
      raise UserError(
        "`mode` is 'continuous_eval', which runs beside the workers in a "
        "process of its own: start it without a cluster."
      )
    job.directory.check(job.config, job.allowed)
    source = job.task.source("train")
    devs = self._devs()
    self._tell_apart(self._facts(devs))
    evaluator, checkpoint = self._builder.reader(*devs)
    return follow(
      evaluator,
      checkpoint,
      directory=job.directory,
      config=job.config.evaluation,
      train_steps=epoch_ends(job.config.train, len(source))[-1],
      quiet=job.quiet,
    )

  def _devs(self) -> list[Source]:
    splits = self._job.config.evaluation.splits
    return [self._job.task.source(split) for split in splits]

  def _facts(self, devs: list[Source], **more: Source) -> dict[str, Any]:
    """Returns what tells each split from another, by its name."""
    names = self._job.config.evaluation.splits[: len(devs)]
    splits = {**more, **dict(zip(names, devs, strict=True))}
    return {split: facts_of(source) for split, source in splits.items()}

  def _agree_on(self, data: Mapping[str, Any], **facts: int) -> None:
    """Stops all workers where they hold different data, or other facts."""
    for split, found in data.items():
      facts[f"number of {split} examples"] = found["examples"]
      facts[f"digest of {split} examples"] = int(found["digest"], 16)
    agree_on(self._job.strategy, **facts)

  def _tell_apart(self, data: Mapping[str, Any]) -> None:
    """Says which splits are not those that the run was evaluated on."""
    kept = noted_data(self._job.directory)
    for told in differences(kept, data).values():
      logging.warning("not the data of the run: %s", told)

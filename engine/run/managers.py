"""Builds the checkpoint managers of a run, and says what they may write."""

from collections.abc import Collection, Sequence

import tf_keras
from absl import logging

from engine.config import ExperimentConfig
from engine.durability.best import BestCheckpoints, goal_of
from engine.durability.checkpoints import Checkpoints
from engine.durability.lock import Lock
from engine.durability.manifest import write_manifest
from engine.durability.restore import checkpoint_of
from engine.durability.run_directory import RunDirectory
from engine.errors import UserError
from engine.loop.trainer import Trainer
from engine.measure.environment import versions
from engine.measure.ledger import Ledger
from engine.measure.line_file import LineFile
from engine.settings import identity
from engine.task import Task


def build_managers(
  *,
  config: ExperimentConfig,
  task: Task,
  directory: RunDirectory,
  model: tf_keras.Model,
  trainer: Trainer,
  train_steps: int,
  lock: Lock,
  files: Sequence[LineFile],
  ledger: Ledger,
  allowed: Collection[str],
  writes: bool,
) -> tuple[Checkpoints, BestCheckpoints]:
  """Builds the managers; call it in the scope of the strategy.

  Args:
    config: of the run.
    task: what is learned.
    directory: of the run.
    model: whose weights are saved.
    trainer: all else that is saved.
    train_steps: at which the run ends.
    lock: without which nothing is written.
    files: on the disk before a checkpoint that has them behind it.
    ledger: where the seconds of saving go.
    allowed: settings in which a checkpoint may differ from the config.
    writes: whether this worker is the one that saves.
  """
  checkpoint = config.checkpoint
  scale = {"loss_scale": trainer.loss_scale} if trainer.loss_scale else {}
  facts = {"config": identity(config), "versions": versions()}

  def check():
    if not lock.still_held():
      raise UserError(
        f"`model_dir` {directory.path} was taken over by another job while "
        "this one stood still: end one of them."
      )

  def initialize():
    task.initialize(model, config.train.seed)
    if trainer.averages:
      trainer.averages.begin()

  def commit(prefix, step, **more):
    for file in files:
      file.sync()
    check()
    write_manifest(prefix, step=step, **facts, **more)

  shared = {
    "ledger": ledger,
    "commit": commit,
    "say": logging.warning if writes else lambda *_: None,
  }
  newest = Checkpoints(
    checkpoint_of(
      model,
      trainer.global_step,
      trainer.averages,
      optimizer=trainer.optimizer,
      window=trainer.window,
      guard=trainer.guard,
      **scale,
    ),
    directory=directory.checkpoints,
    global_step=trainer.global_step,
    # Without an interval: at the ends of epochs, which are saved anyway.
    interval=checkpoint.checkpoint_interval or train_steps,
    minutes=checkpoint.checkpoint_minutes,
    max_to_keep=checkpoint.max_to_keep,
    keep_every_n_hours=checkpoint.keep_every_n_hours,
    asynchronous=checkpoint.async_checkpoint,
    initialize=initialize,
    config=config,
    allowed={*allowed, *directory.changed()},
    check=check,
    writes=writes,
    **shared,
  )
  metric, sign = goal_of(config, task)
  best = BestCheckpoints(
    checkpoint_of(model, trainer.global_step, trainer.averages),
    directory=directory.best,
    metric=metric,
    sign=sign,
    max_to_keep=checkpoint.best_to_keep,
    **shared,
  )
  return newest, best

"""The checkpoint managers of a run: its newest weights, and its best."""

import dataclasses

import tf_keras

from engine.durability.best import BestCheckpoints
from engine.durability.checkpoints import Checkpoints
from engine.durability.committer import Committer
from engine.durability.restore import checkpoint_of
from engine.goal import goal_of
from engine.loop.trainer import Trainer
from engine.run.job import Job


def build_managers(
  job: Job, model: tf_keras.Model, trainer: Trainer, committer: Committer
) -> tuple[Checkpoints, BestCheckpoints]:
  """Builds the managers; call it in the scope of the strategy.

  Args:
    job: whose run is saved.
    model: the weights.
    trainer: all else that training goes on from.
    committer: makes checkpoints exist.
  """
  step, averages = trainer.global_step, trainer.averages
  scale = {"loss_scale": trainer.loss_scale} if trainer.loss_scale else {}
  policy = job.config.checkpoint
  newest = Checkpoints(
    checkpoint_of(
      model,
      step,
      averages,
      optimizer=trainer.optimizer,
      window=trainer.window,
      guard=trainer.guard,
      **scale,
    ),
    directory=job.directory.checkpoints,
    policy=dataclasses.replace(
      policy,
      # Without an interval: at the ends of epochs, which are saved anyway.
      checkpoint_interval=policy.checkpoint_interval
      or trainer.inputs.order.num_batches,
    ),
    committer=committer,
    ledger=job.ledger,
  )
  best = BestCheckpoints(
    checkpoint_of(model, step, averages),
    directory=job.directory.best,
    goal=goal_of(job.config, job.task),
    max_to_keep=policy.best_to_keep,
    newest=job.directory.checkpoints,
    committer=committer,
    ledger=job.ledger,
  )
  return newest, best

"""Builds what a run computes with and is saved by; restores nothing."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from engine.cluster.strategies import workers_of
from engine.config import ExperimentConfig
from engine.durability.best import BestCheckpoints
from engine.durability.checkpoints import Checkpoints
from engine.durability.committer import Committer
from engine.durability.restore import checkpoint_of
from engine.errors import UserError
from engine.loop.boundary import Boundary
from engine.loop.epochs import epoch_ends, positions
from engine.loop.evaluator import Evaluator, SplitsEvaluator, build_evaluator
from engine.loop.inputs import Inputs
from engine.loop.order import Order
from engine.loop.trainer import Trainer
from engine.measure.goal import goal_of
from engine.measure.ledger import Ledger
from engine.step.averages import Averages, build_averages
from engine.step.canonical import Shares, own_shares
from engine.step.guard import Guard
from engine.step.optimization import build_optimizer
from engine.step.precision import LossScale, precision_scope
from engine.step.program_cost import kind_of, program_cost, xla_for
from engine.step.replica_step import ReplicaStep
from engine.task import Source, Task
from engine.telemetry.job import Job


class Builder:
  """Builds the parts of one run, in the scope of its strategy."""

  def __init__(
    self,
    *,
    config: ExperimentConfig,
    task: Task,
    strategy: tf.distribute.Strategy,
    ledger: Ledger,
    boundary: Boundary | None = None,
  ):
    """Initializes the builder.

    Args:
      config: of the run.
      task: what is learned.
      strategy: where the replicas are.
      ledger: where the seconds go.
      boundary: looked at between device loops; one that never stops them, if
        it is not given.

    Raises:
      UserError: where the replicas cannot share a batch evenly.
    """
    self._config = config
    self._task = task
    self._strategy = strategy
    self._ledger = ledger
    self._program = program_cost(config.runtime.shapes, strategy)
    self.xla = xla_for(
      config.runtime.xla, strategy, apart=config.runtime.reproducible
    )
    self._boundary = boundary or Boundary(
      strategy=strategy, grace=config.runtime.grace_seconds
    )
    replicas = strategy.num_replicas_in_sync
    train, evaluation = config.train, config.evaluation
    parts, self._own_shares = train.accumulate_steps, 0
    if config.runtime.reproducible:
      if task.irreproducible:
        raise UserError(
          f"`reproducible` is set, but {task.irreproducible}: leave it out, or "
          "choose another one."
        )
      self._own_shares = parts = own_shares(
        config.runtime.canonical_shares, replicas, parts
      )
    self._parts = parts
    check_divides("global_batch_size", train.global_batch_size, replicas, parts)
    check_divides(
      "eval_batch_size",
      evaluation.eval_batch_size,
      replicas,
      self._own_shares or 1,
    )

  def parts(
    self, train: Source, *devs: Source, order: str = ""
  ) -> tuple[tf_keras.Model, Trainer, Evaluator | SplitsEvaluator | None]:
    """Builds the model, its trainer and its evaluator.

    Args:
      train: the split to train on.
      *devs: the splits to evaluate, as the config names them; none: there is
        no evaluator.
      order: how examples are ordered, as `Order` takes it.
    """
    with self._strategy.scope():
      model = self._model()
      trainer = self._trainer(model, train, order)
      evaluator = self._evaluator(model, devs, trainer.averages)
    return model, trainer, evaluator

  def reader(
    self, *devs: Source
  ) -> tuple[Evaluator | SplitsEvaluator, tf.train.Checkpoint]:
    """An evaluator, and the checkpoint that its model is read through."""
    with self._strategy.scope():
      model = self._model()
      step = tf.Variable(0, dtype=tf.int64, trainable=False)
      averages = self._averages(model)
      evaluator = self._evaluator(model, devs, averages)
    assert evaluator, "a reader has splits"
    return evaluator, checkpoint_of(model, step, averages)

  def _model(self) -> tf_keras.Model:
    with precision_scope(self._config.train.precision):
      return self._task.build_model()

  def _averages(self, model: tf_keras.Model) -> Averages | None:
    decay = self._config.optimizer.average_decay
    return build_averages(model.trainable_variables, decay)

  def _trainer(
    self, model: tf_keras.Model, source: Source, kind: str
  ) -> Trainer:
    train = self._config.train
    guard = Guard(skips=train.on_nonfinite == "skip")
    loss_scale = LossScale() if train.precision == "float16" else None
    replicas = self._strategy.num_replicas_in_sync
    optimizer = build_optimizer(
      self._config.optimizer,
      train_steps=epoch_ends(train, len(source))[-1],
      layer_depth=self._task.layer_depth,
      guard=guard,
      averages=self._averages(model),
    )
    optimizer.build(model.trainable_variables)
    step = ReplicaStep(
      task=self._task,
      model=model,
      optimizer=optimizer,
      seed=train.seed,
      clip_norm=self._config.optimizer.clip_norm,
      guard=guard,
      loss_scale=loss_scale,
      accumulate_steps=train.accumulate_steps,
      xla=self.xla.gradient,
      xla_update=self.xla.update,
      keeps_rows=not self.xla.step
      and (replicas == 1 or len(workers_of(self._strategy)) > 1),
      shares=Shares(own=self._own_shares, replicas=replicas)
      if self._own_shares
      else None,
      pack_bytes=0
      if kind_of(self._strategy) == "CPU"
      else self._config.runtime.pack_megabytes * 10**6,
    )
    order = Order(
      num_examples=len(source),
      batch_size=train.global_batch_size,
      num_positions=positions(train, len(source)),
      seed=train.seed,
      kind=kind,
    )
    return Trainer(
      replica_step=step,
      inputs=Inputs(
        source=source,
        order=order,
        strategy=self._strategy,
        batch_size=train.global_batch_size,
        parts=self._parts,
        program=self._program,
        canonical=bool(self._own_shares),
      ),
      strategy=self._strategy,
      steps_per_loop=self._config.runtime.steps_per_loop,
      log_interval=self._config.runtime.log_interval,
      ledger=self._ledger,
      boundary=self._boundary,
      xla=self.xla.step,
    )

  def _evaluator(
    self,
    model: tf_keras.Model,
    devs: Sequence[Source],
    averages: Averages | None,
  ) -> Evaluator | SplitsEvaluator | None:
    evaluators = [
      build_evaluator(
        task=self._task,
        model=model,
        source=source,
        strategy=self._strategy,
        batch_size=self._config.evaluation.eval_batch_size,
        ledger=self._ledger,
        boundary=self._boundary,
        averages=averages,
        program=self._program,
        own_shares=self._own_shares,
        xla=self.xla.evaluation,
      )
      for source in devs
    ]
    if len(evaluators) < 2:
      return evaluators[0] if evaluators else None
    names = self._config.evaluation.splits
    return SplitsEvaluator(dict(zip(names, evaluators, strict=True)))


def check_divides(name: str, size: int, replicas: int, parts: int = 1) -> None:
  """Raises `UserError` where the replicas cannot share a batch evenly."""
  shares = replicas * parts
  if size % shares:
    below = size // shares * shares
    near = [str(x) for x in (below, below + shares) if x]
    who = f"{replicas} replicas" if replicas > 1 else "1 replica"
    if parts > 1:
      who += f" with {parts} accumulation steps"
    raise UserError(
      f"`{name}` is {size}, which {who} cannot share: use {' or '.join(near)}."
    )


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
    check=trainer.check_finite,
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

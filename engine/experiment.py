"""Wires the rooms of the engine into one `orbit.Controller` and runs a mode."""

import os
from typing import Any

import orbit
import orbit.controller
import tensorflow as tf
import tf_keras
from absl import logging

from engine import optimization, result
from engine.actions import (
  ExampleIdLog,
  TrainLog,
  earlier_seconds,
  earlier_work,
  steps_to_stop,
)
from engine.checkpoints import Checkpoints, restore, restore_newest
from engine.config import ExperimentConfig
from engine.errors import UserError
from engine.evaluator import Evaluator, build_evaluator
from engine.inputs import Inputs
from engine.journal import Journal, Terminal
from engine.ledger import Ledger
from engine.order import Order
from engine.peers import agree, losses_named
from engine.plan import epoch_ends, positions
from engine.precision import LossScale, precision_scope
from engine.run_directory import RunDirectory
from engine.strategies import create_strategy, describe, is_chief, workers_of
from engine.task import Source, Task
from engine.trainer import Trainer

MODES = ("train", "eval", "train_and_eval", "continuous_eval")

# Orbit prints each of its log lines, with a steps/s that contains evaluation
# and checkpoints. The journal shows what is true; those go to the debug log.
orbit.controller._log = logging.debug


class Experiment:
  """One run of one task in one directory.

  restore the newest checkpoint, or initialize
  for boundary in ends of epochs:
    train until boundary, saving on the way and there
    evaluate
  write result.json
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
  ):
    """Checks what can be checked without writing; builds the strategy.

    Args:
      config: of the run.
      task: what is learned.
      model_dir: directory of the run.
      command: the command line that resumes it, for the report.
      ledger: one that books since the start of the process.
      strategy: instead of the one that the config asks for.

    Raises:
      UserError: where the directory or the devices do not fit the config.
    """
    self._config = config
    self._task = task
    self._directory = RunDirectory(model_dir)
    self._command = command
    self._ledger = ledger or Ledger()
    self._directory.check(config)
    self._strategy = strategy or create_strategy(config.runtime)[0]
    self.is_chief = is_chief(self._strategy)
    self._quiet = config.runtime.quiet or not self.is_chief
    replicas = self._strategy.num_replicas_in_sync
    check_divides(
      "global_batch_size",
      config.train.global_batch_size,
      replicas,
      config.train.accumulate_steps,
    )
    check_divides(
      "eval_batch_size", config.evaluation.eval_batch_size, replicas
    )

  def run(self, mode: str) -> dict[str, Any]:
    """Runs one of `MODES`; returns the result, or the last evaluation.

    Raises:
      UserError: where that cannot be done as asked.
      PeerLost: where another worker ended.
    """
    assert mode in MODES, mode
    with losses_named(self._strategy):
      if mode == "eval":
        result = self._evaluate()
      elif mode == "continuous_eval":
        result = self._evaluate_continuously()
      else:
        result = self._train(with_evaluation=mode == "train_and_eval")
      # No worker goes before all are done: its end would look like a loss.
      agree(self._strategy, {"global_step": 0})
    return result

  def _train(self, *, with_evaluation: bool) -> dict[str, Any]:
    """Trains to the end, from wherever the run is."""
    source = self._task.source("train")
    boundaries = self._boundaries(len(source))
    terminal = Terminal(train_steps=boundaries[-1], quiet=self._quiet)
    done = self._directory.result()
    if done and (done["eval"] or not with_evaluation):
      terminal.say(f"finished before: {self._directory.path}")
      return done
    dev = self._task.source(self._config.evaluation.split)

    with self._strategy.scope():
      model = self._build_model()
      trainer = self._trainer(model, source, boundaries[-1])
      evaluator = self._evaluator(model, dev)
      manager = self._manager(model, trainer, boundaries[-1])
      restored = manager.restore_or_initialize()
    step = trainer.global_step
    if self.is_chief:
      self._directory.create(self._config)
      self._task.save_assets(self._directory.assets)
    log = Journal(
      self._directory.path,
      step=int(step.numpy()),
      terminal=terminal,
      writes=self.is_chief,
    )
    agree(
      self._strategy,
      {
        "examples": len(source),
        "digest of their ids": result.ids_digest(source),
        "step of the checkpoint": int(step.numpy()),
        "digest of the weights": result.weights_digest(model),
        "evaluations": sum(line["kind"] == "eval" for line in log.lines),
      },
    )
    self._ledger.add(earlier_seconds(log))
    trainer.work = earlier_work(log)
    if restored:
      terminal.say(f"resumed at step {int(step.numpy())} from {restored}")
    controller = orbit.Controller(
      global_step=step,
      trainer=trainer,
      evaluator=evaluator,
      strategy=self._strategy,
      steps_per_loop=lambda now: steps_to_stop(
        int(now),
        self._config.runtime.steps_per_loop,
        manager.checkpoint_interval,
      ),
      checkpoint_manager=manager,
      train_actions=[
        TrainLog(log=log, trainer=trainer, ledger=self._ledger),
        *self._example_id_log(trainer),
      ],
      eval_actions=[
        lambda output: log.write("eval", int(step.numpy()), output)
      ],
    )
    self._ledger.started()
    for boundary in boundaries:
      if int(step.numpy()) < boundary:
        controller.train(boundary)
      last = int(step.numpy()) == boundary and not log.has("eval", boundary)
      if with_evaluation and last:
        controller.evaluate()
    final = self._result(trainer, model, log)
    log.close()
    if self.is_chief:
      self._directory.write_result(final)
    return final

  def _result(
    self, trainer: Trainer, model: tf_keras.Model, log: Journal
  ) -> dict[str, Any]:
    step = int(trainer.global_step.numpy())
    evaluations = [
      {k: v for k, v in x.items() if k not in ("step", "kind", "ledger")}
      for x in log.lines
      if (x["kind"], x["step"]) == ("eval", step)
    ]
    return {
      "global_step": step,
      "seed": self._config.train.seed,
      "eval": evaluations[-1] if evaluations else None,
      "train": result.rates(trainer.work, self._strategy.num_replicas_in_sync),
      "ledger": self._ledger.totals(),
      "traces": trainer.programs.traces,
      "weights_sha256": result.weights_sha256(model),
      **describe(self._strategy),
      "precision": self._config.train.precision,
      **result.environment(),
      "command": self._command,
    }

  def _evaluate(self) -> dict[str, Any]:
    """Evaluates the newest checkpoint."""
    evaluator, checkpoint = self._reader()
    restore_newest(checkpoint, self._directory.checkpoints)
    step = int(checkpoint.global_step.numpy())
    agree(self._strategy, {"step of the checkpoint": step})
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
    evaluator, checkpoint = self._reader()
    train_steps = self._boundaries(len(self._task.source("train")))[-1]
    directory = os.path.join(
      self._directory.file("continuous_eval"), self._config.evaluation.split
    )
    tf.io.gfile.makedirs(directory)
    log = Journal(
      directory,
      step=train_steps,
      terminal=Terminal(train_steps=train_steps, quiet=self._quiet),
    )
    timeout = self._config.evaluation.timeout
    for path in tf.train.checkpoints_iterator(
      self._directory.checkpoints, timeout=timeout
    ):
      restore(checkpoint, path)
      step = int(checkpoint.global_step.numpy())
      if not log.has("eval", step):
        log.write("eval", step, evaluator.evaluate(tf.constant(-1)))
      if step >= train_steps:
        break
    log.close()
    if not log.lines:
      raise UserError(
        f"`model_dir` {self._directory.path} got no checkpoint within "
        f"{timeout:g} s: is the training running?"
      )
    return log.lines[-1]

  # The parts.

  def build(self) -> tuple[tf_keras.Model, Trainer, Evaluator]:
    """Builds what the run would compute with; restores and writes nothing."""
    source = self._task.source("train")
    dev = self._task.source(self._config.evaluation.split)
    with self._strategy.scope():
      model = self._build_model()
      trainer = self._trainer(model, source, self._boundaries(len(source))[-1])
      return model, trainer, self._evaluator(model, dev)

  def _build_model(self) -> tf_keras.Model:
    with precision_scope(self._config.train.precision):
      return self._task.build_model()

  def _boundaries(self, num_examples: int) -> list[int]:
    return epoch_ends(self._config.train, num_examples)

  def _trainer(
    self, model: tf_keras.Model, source: Source, train_steps: int
  ) -> Trainer:
    train = self._config.train
    loss_scale = LossScale() if train.precision == "float16" else None
    optimizer = optimization.build_optimizer(
      self._config.optimizer,
      train_steps=train_steps,
      layer_depth=self._task.layer_depth,
      taken=loss_scale and loss_scale.taken,
    )
    optimizer.build(model.trainable_variables)
    return Trainer(
      task=self._task,
      model=model,
      optimizer=optimizer,
      inputs=Inputs(
        source=source,
        order=Order(
          num_examples=len(source),
          batch_size=train.global_batch_size,
          num_positions=positions(train, len(source)),
          seed=train.seed,
        ),
        strategy=self._strategy,
        batch_size=train.global_batch_size,
        parts=train.accumulate_steps,
      ),
      strategy=self._strategy,
      seed=train.seed,
      loss_scale=loss_scale,
      accumulate_steps=train.accumulate_steps,
      xla=self._config.runtime.xla,
      clip_norm=self._config.optimizer.clip_norm,
      steps_per_loop=self._config.runtime.steps_per_loop,
      ledger=self._ledger,
    )

  def _example_id_log(self, trainer: Trainer) -> list[ExampleIdLog]:
    if not (self._config.runtime.log_example_ids and self.is_chief):
      return []
    return [ExampleIdLog(self._directory.file("example_ids.jsonl"), trainer)]

  def _evaluator(self, model: tf_keras.Model, source: Source) -> Evaluator:
    return build_evaluator(
      task=self._task,
      model=model,
      source=source,
      strategy=self._strategy,
      batch_size=self._config.evaluation.eval_batch_size,
      ledger=self._ledger,
    )

  def _reader(self) -> tuple[Evaluator, tf.train.Checkpoint]:
    """An evaluator, and the checkpoint that its model is read through."""
    source = self._task.source(self._config.evaluation.split)
    with self._strategy.scope():
      model = self._build_model()
      step = tf.Variable(0, dtype=tf.int64, trainable=False)
      evaluator = self._evaluator(model, source)
    return evaluator, tf.train.Checkpoint(model=model, global_step=step)

  def _manager(
    self, model: tf_keras.Model, trainer: Trainer, train_steps: int
  ) -> Checkpoints:
    checkpoint = self._config.checkpoint
    state = {"loss_scale": trainer.loss_scale} if trainer.loss_scale else {}
    return Checkpoints(
      tf.train.Checkpoint(
        model=model,
        optimizer=trainer.optimizer,
        global_step=trainer.global_step,
        **state,
      ),
      directory=self._directory.checkpoints,
      global_step=trainer.global_step,
      # Without an interval: at the ends of epochs, which are saved anyway.
      interval=checkpoint.checkpoint_interval or train_steps,
      max_to_keep=checkpoint.max_to_keep,
      initialize=lambda: self._task.initialize(model, self._config.train.seed),
      ledger=self._ledger,
      writes=self.is_chief,
    )


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

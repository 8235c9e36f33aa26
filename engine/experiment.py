"""Wires the rooms of the engine into one `orbit.Controller` and runs a mode."""

import os
from typing import Any

import orbit
import orbit.controller
import tensorflow as tf
import tf_keras
from absl import logging

from engine import result
from engine.actions import (
  ExampleIdLog,
  TrainLog,
  earlier_seconds,
  earlier_work,
  steps_to_stop,
)
from engine.builder import Builder
from engine.checkpoints import Checkpoints, restore, restore_newest
from engine.config import ExperimentConfig
from engine.errors import UserError
from engine.journal import Journal, Terminal
from engine.ledger import Ledger
from engine.peers import agree, lost_peers_named, together
from engine.plan import epoch_ends
from engine.run_directory import RunDirectory
from engine.strategies import create_strategy, describe, is_chief, workers_of
from engine.task import Source, Task, digest_of
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
    """Initializes the experiment; builds the strategy.

    Args:
      config: of the run.
      task: what is learned.
      model_dir: directory of the run.
      command: the command line that resumes it, for the report.
      ledger: one that books since the start of the process.
      strategy: instead of the one that the config asks for.

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
    self._builder = Builder(
      config=config, task=task, strategy=self._strategy, ledger=self._ledger
    )

  def run(self, mode: str) -> dict[str, Any]:
    """Runs one of `MODES`; returns the result, or the last evaluation.

    Raises:
      UserError: where that cannot be done as asked.
      PeerLost: where another worker ended.
    """
    assert mode in MODES, mode
    with lost_peers_named(self._strategy):
      if mode == "eval":
        outcome = self._evaluate()
      elif mode == "continuous_eval":
        outcome = self._evaluate_continuously()
      else:
        outcome = self._train(with_evaluation=mode == "train_and_eval")
      # No worker goes before all are done: its end would look like a loss.
      self._agree_on(end=0)
    return outcome

  def _train(self, *, with_evaluation: bool) -> dict[str, Any]:
    """Trains to the end, from wherever the run is."""
    with together(self._strategy):
      self._directory.check(self._config)
      source, dev = self._sources("train", self._config.evaluation.split)
      done = self._directory.result()
      if done and with_evaluation and not done["eval"]:
        done = None
    self._agree_on(finished=done is not None, train=source, dev=dev)
    boundaries = epoch_ends(self._config.train, len(source))
    terminal = Terminal(train_steps=boundaries[-1], quiet=self._quiet)
    if done:
      terminal.say(f"finished before: {self._directory.path}")
      return done

    model, trainer, evaluator = self._builder.parts(source, dev)
    step = trainer.global_step
    with self._strategy.scope():
      manager = self._manager(model, trainer, boundaries[-1])
      restored = manager.restore_or_initialize()
    self._agree_on(
      step_of_the_checkpoint=int(step.numpy()),
      weights=digest_of(*(weight.numpy() for weight in model.weights)),
    )
    if self.is_chief:
      self._directory.create(self._config)
      self._task.save_assets(self._directory.assets)
    log = Journal(
      self._directory.path,
      step=int(step.numpy()),
      terminal=terminal,
      writes=self.is_chief,
    )
    self._agree_on(evaluations=sum(x["kind"] == "eval" for x in log.lines))
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
    with together(self._strategy):
      self._directory.check(self._config)
      (dev,) = self._sources(self._config.evaluation.split)
    self._agree_on(dev=dev)
    evaluator, checkpoint = self._builder.reader(dev)
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
    self._directory.check(self._config)
    source, dev = self._sources("train", self._config.evaluation.split)
    evaluator, checkpoint = self._builder.reader(dev)
    train_steps = epoch_ends(self._config.train, len(source))[-1]
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

  def _sources(self, *splits: str) -> list[Source]:
    return [self._task.source(split) for split in splits]

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

"""Orbit's controller of a run: when it trains, waits, saves and evaluates."""

import orbit
import orbit.controller
from absl import logging

from engine.durability.best import BestCheckpoints
from engine.durability.checkpoints import Checkpoints
from engine.loop.evaluator import Evaluator, SplitsEvaluator
from engine.loop.trainer import Trainer
from engine.telemetry.actions import EvaluationLog, steps_to_stop
from engine.telemetry.job import Job
from engine.telemetry.logs import Logs

_LOOKS = 10  # Log points from one look at the clock to the next.


def build_controller(
  job: Job,
  logs: Logs,
  *,
  trainer: Trainer,
  evaluator: Evaluator | SplitsEvaluator | None,
  newest: Checkpoints,
  best: BestCheckpoints,
) -> orbit.Controller:
  """Wires the parts of an open run together.

  Args:
    job: whose run it is.
    logs: open.
    trainer: restored.
    evaluator: of its splits, if there are any.
    newest: saves it.
    best: keeps the weights of the best evaluations.
  """
  after_evaluation = evaluator and EvaluationLog(
    job,
    log=logs.journal,
    trainer=trainer,
    evaluator=evaluator,
    best=best,
    newest=newest,
  )
  runtime = job.config.runtime
  trainer.log_points = logs.log_points()
  waits = [newest.checkpoint_interval]
  if job.config.checkpoint.checkpoint_minutes:
    waits.append(_LOOKS * trainer.log_interval)
  if runtime.log_weights_digest:
    waits.append(trainer.log_interval)  # Before a step changes them again.
  silence_orbit()
  return orbit.Controller(
    global_step=trainer.global_step,
    trainer=trainer,
    evaluator=evaluator,
    strategy=job.strategy,
    steps_per_loop=lambda now: steps_to_stop(int(now), waits, runtime.profiled),
    checkpoint_manager=newest,
    train_actions=[logs.profile],
    eval_actions=[after_evaluation] if after_evaluation else [],
  )


def silence_orbit() -> None:
  """Sends Orbit's own lines to the debug log.

  It prints each, with a steps/s that contains evaluation and checkpoints; the
  journal shows what is true.
  """
  orbit.controller._log = logging.debug

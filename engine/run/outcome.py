"""What a run that has reached its end reports."""

import time
from collections.abc import Mapping
from typing import Any

import tf_keras

from engine.cluster.strategies import describe
from engine.loop.trainer import Trainer
from engine.measure import environment, result
from engine.measure.ledger import goodput
from engine.measure.peaks import find_peak
from engine.telemetry.job import Job
from engine.telemetry.logs import Logs


def outcome(
  job: Job,
  model: tf_keras.Model,
  trainer: Trainer,
  logs: Logs,
  *,
  best: Mapping[str, Any] | None,
  saves: Mapping[str, Any],
  stopped_early: bool,
  lost: Mapping[str, Any],
) -> dict[str, Any]:
  """Returns what `result.json` holds.

  Args:
    job: what was to be done.
    model: as it was trained.
    trainer: at its last step.
    logs: of all of the run.
    best: step, metric and value of the best weights that are kept.
    saves: how long they held the training up.
    stopped_early: whether nothing got better any more.
    lost: what could not be brought back, by its name.
  """
  step = int(trainer.global_step.numpy())
  evaluations = [
    {k: v for k, v in x.items() if k not in ("step", "kind", "ledger")}
    for x in logs.evaluations
    if x["step"] == step
  ]
  memory = environment.peak_memory_bytes()  # Finding the peak takes some too.
  precision, work = job.config.train.precision, trainer.work
  peak = find_peak(job.strategy, precision, work.flops or 0.0)
  booked = job.ledger.totals()
  down = logs.starts.down_seconds(booked, time.time())
  return {
    "global_step": step,
    "seed": job.config.train.seed,
    "eval": evaluations[-1] if evaluations else None,
    "eval_weights": result.weights_at(step, averages=trainer.averages),
    "best": best,
    "train": result.rates(work, job.strategy.num_replicas_in_sync, peak),
    "ledger": booked,
    "down_seconds": down,
    "goodput": goodput(booked, down),
    "traces": trainer.programs.traces,
    "weights_sha256": result.weights_sha256(model),
    "stopped_early": stopped_early,
    "skipped_batches": int(trainer.guard.skipped.numpy()),
    "restarts": logs.starts.number,
    "lost": lost,
    "checkpoints": saves,
    **describe(job.strategy),
    "precision": precision,
    "peak_memory_bytes": memory,
    **environment.environment(),
    "command": job.command,
  }

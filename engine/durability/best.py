"""The weights of the best evaluations, and which evaluation is best."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging

from engine.config import ExperimentConfig
from engine.durability import manifest
from engine.durability.committer import Committer
from engine.errors import UserError
from engine.files import DISK_ERRORS, reason_of
from engine.measure.ledger import Ledger
from engine.task import Task


class Goal(NamedTuple):
  """What says which evaluation is better.

  Attributes:
    metric: a name in the evaluations.
    sign: 1 if more of it is better, -1 if less is.
  """

  metric: str
  sign: int

  def value_of(self, evaluation: Mapping[str, Any]) -> float:
    """Returns a number of which more is better.

    Raises:
      UserError: where the evaluation has no such metric.
    """
    if not isinstance(evaluation.get(self.metric), int | float):
      numbers = [k for k, v in evaluation.items() if isinstance(v, int | float)]
      raise UserError(
        f"`best_metric` is {self.metric!r}, but an evaluation has "
        f"{', '.join(numbers)}: name one of them."
      )
    return self.sign * evaluation[self.metric]


class BestCheckpoints:
  """Keeps the weights of the best evaluations, by one metric.

  What is best so far is read from the manifests: no state is kept of it.
  """

  def __init__(
    self,
    checkpoint: tf.train.Checkpoint,
    *,
    directory: str,
    goal: Goal,
    max_to_keep: int,
    committer: Committer,
    ledger: Ledger,
  ):
    """Initializes the manager.

    Args:
      checkpoint: what is saved.
      directory: where.
      goal: says which evaluation is better.
      max_to_keep: how many are kept (0: none).
      committer: makes them exist.
      ledger: where the seconds of saving go.
    """
    _ = checkpoint.save_counter  # A variable that a restore asks for.
    self._checkpoint = checkpoint
    self._directory = directory
    self._goal = goal
    self._max_to_keep = max_to_keep
    self._committer = committer
    self._ledger = ledger

  def rewind(self, step: int) -> None:
    """Forgets what lies behind the restored step, and what is damaged."""
    for prefix in manifest.prefixes(self._directory):
      try:
        if manifest.verify(prefix).step <= step:
          continue
      except manifest.Damaged:
        pass
      manifest.delete(prefix)
    manifest.remove_leftovers(self._directory)

  def check(self, metrics: Mapping[str, Any]) -> None:
    """Raises `UserError` where an evaluation lacks the metric: all ranks do."""
    if self._max_to_keep:
      self._goal.value_of(metrics)

  def offer(self, step: int, metrics: Mapping[str, Any]) -> bool:
    """Keeps the weights if they are better than one of those kept.

    Returns:
      Whether they are kept.

    Raises:
      UserError: where the evaluation has no such metric.
    """
    if not self._max_to_keep:
      return False
    value = self._goal.value_of(metrics)
    kept = [
      (self._goal.value_of(found.metrics), -found.step, prefix)
      for prefix in manifest.prefixes(self._directory)
      if (found := manifest.read_manifest(prefix)).step != step
    ]
    kept.sort()
    full = len(kept) >= self._max_to_keep
    if value != value or (full and (value, -step) < kept[0][:2]):
      return False
    prefix = os.path.join(self._directory, f"ckpt-{step}")
    numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
    with self._ledger.time("checkpoint"):
      try:
        tf.io.gfile.makedirs(self._directory)
        manifest.revoke(prefix)
        self._checkpoint.write(prefix)
        self._committer.commit(prefix, step, metrics=numbers)
      except DISK_ERRORS as error:
        logging.warning(
          "best/ckpt-%d could not be saved (%s).", step, reason_of(error)
        )
        with contextlib.suppress(*DISK_ERRORS):
          manifest.delete(prefix)
        return False
      for *_, worse in kept[: len(kept) + 1 - self._max_to_keep]:
        with contextlib.suppress(*DISK_ERRORS):
          manifest.delete(worse)
    return True


def goal_of(config: ExperimentConfig, task: Task) -> Goal:
  """Returns what says which evaluation of a run is better."""
  checkpoint = config.checkpoint
  metric, direction = task.goal
  if checkpoint.best_metric not in ("", metric):
    metric = checkpoint.best_metric
    direction = "min" if metric == "loss" else "max"
  if checkpoint.best_direction != "auto":
    direction = checkpoint.best_direction
  return Goal(metric, 1 if direction == "max" else -1)


def stops_early(
  evaluations: Sequence[Mapping[str, Any]],
  goal: Goal,
  patience: int,
) -> bool:
  """Whether the last `patience` evaluations brought nothing better (0: never).

  Args:
    evaluations: of the run so far; there is no other state.
    goal: says which one is better.
    patience: evaluations.
  """
  if not patience or len(evaluations) <= patience:
    return False
  values = [goal.value_of(line) for line in evaluations]
  return values.index(max(values)) < len(values) - patience

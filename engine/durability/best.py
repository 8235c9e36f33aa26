"""The weights of the best evaluations, and which evaluation is best."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from engine.config import ExperimentConfig
from engine.durability import manifest
from engine.errors import UserError
from engine.files import DISK_ERRORS, reason_of
from engine.measure.ledger import Ledger
from engine.task import Task


class BestCheckpoints:
  """Keeps the weights of the best evaluations, by one metric.

  What is best so far is read from the manifests: no state is kept of it.
  """

  def __init__(
    self,
    checkpoint: tf.train.Checkpoint,
    *,
    directory: str,
    metric: str,
    sign: int,
    max_to_keep: int,
    commit: Callable[..., Any],
    ledger: Ledger,
    say: Callable[[str], None] = logging.warning,
  ):
    """Initializes the manager.

    Args:
      checkpoint: what is saved.
      directory: where.
      metric: a name in the evaluations.
      sign: 1 if more of it is better, -1 if less is.
      max_to_keep: how many are kept (0: none).
      commit: (prefix, step, metrics=...) -> None; writes the manifest.
      ledger: where the seconds of saving go.
      say: tells the user.
    """
    _ = checkpoint.save_counter  # A variable that a restore asks for.
    self._checkpoint = checkpoint
    self._directory = directory
    self._metric = metric
    self._sign = sign
    self._max_to_keep = max_to_keep
    self._commit = commit
    self._ledger = ledger
    self._say = say

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
      value_of(self._metric, metrics)

  def offer(self, step: int, metrics: Mapping[str, Any]) -> bool:
    """Keeps the weights if they are better than one of those kept.

    Returns:
      Whether they are kept.

    Raises:
      UserError: where the evaluation has no such metric.
    """
    if not self._max_to_keep:
      return False
    value = self._sign * value_of(self._metric, metrics)
    kept = [
      (self._sign * found.metrics[self._metric], -found.step, prefix)
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
        self._commit(prefix, step, metrics=numbers)
      except DISK_ERRORS as error:
        self._say(f"best/ckpt-{step} could not be saved ({reason_of(error)}).")
        with contextlib.suppress(*DISK_ERRORS):
          manifest.delete(prefix)
        return False
      for *_, worse in kept[: len(kept) + 1 - self._max_to_keep]:
        with contextlib.suppress(*DISK_ERRORS):
          manifest.delete(worse)
    return True


def goal_of(config: ExperimentConfig, task: Task) -> tuple[str, int]:
  """Returns the metric by which weights are best, and the sign of better."""
  checkpoint = config.checkpoint
  metric, direction = task.goal
  if checkpoint.best_metric not in ("", metric):
    metric = checkpoint.best_metric
    direction = "min" if metric == "loss" else "max"
  if checkpoint.best_direction != "auto":
    direction = checkpoint.best_direction
  return metric, 1 if direction == "max" else -1


def stops_early(
  evaluations: Sequence[Mapping[str, Any]],
  goal: tuple[str, int],
  patience: int,
) -> bool:
  """Whether the last `patience` evaluations brought nothing better (0: never).

  Args:
    evaluations: of the run so far; there is no other state.
    goal: as `goal_of` gives it.
    patience: evaluations.
  """
  if not patience or len(evaluations) <= patience:
    return False
  metric, sign = goal
  values = [sign * value_of(metric, line) for line in evaluations]
  return values.index(max(values)) < len(values) - patience


def value_of(metric: str, evaluation: Mapping[str, Any]) -> float:
  """Returns the metric that says which evaluation is best.

  Raises:
    UserError: where the evaluation has no such number.
  """
  if not isinstance(evaluation.get(metric), int | float):
    numbers = [k for k, v in evaluation.items() if isinstance(v, int | float)]
    raise UserError(
      f"`best_metric` is {metric!r}, but an evaluation has "
      f"{', '.join(numbers)}: name one of them."
    )
  return evaluation[metric]

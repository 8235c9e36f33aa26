"""Which evaluation is best, and whether anything gets better any more."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.config import ExperimentConfig
from engine.errors import UserError
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

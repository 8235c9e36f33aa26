"""Metrics that a command line names, beside those of a task."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import UserError, quoted, words_of
from engine.task import Task
from launch.command.named import named

Metric = Callable[[np.ndarray, np.ndarray], float]


def add_metrics(task: Task, paths: Sequence[str]) -> None:
  """Lets a task compute more of each evaluation.

  Args:
    task: of a run.
    paths: module:function of each. It takes what `Task.metrics` does, labels
      [examples] and outputs [examples, ...], those of classes being logits, and
      returns a number, which is called by the name of the function.

  Raises:
    UserError: where one is not there.
  """
  found = {}
  for path in paths:
    function = named(path, "metric")
    if not callable(function):
      raise UserError(
        f"`metric` is {quoted(path)}, which is no function: name "
        "module:function of one that takes labels and outputs."
      )
    found[path.rpartition(":")[2]] = function
  if found:
    more = functools.partial(_all, task.metrics, found)
    task.metrics = more  # type: ignore[method-assign]


def _all(
  own: Callable[..., Mapping[str, Any]],
  more: Mapping[str, Metric],
  labels: np.ndarray,
  outputs: np.ndarray,
) -> dict[str, Any]:
  values = dict(own(labels, outputs))
  for name, function in more.items():
    if name in values:
      raise UserError(
        f"`metric` {name} is one that the task has: call your function "
        "otherwise."
      )
    values[name] = _number(name, function, labels.copy(), outputs.copy())
  return values


def _number(
  name: str, function: Metric, labels: np.ndarray, outputs: np.ndarray
) -> float:
  try:
    value = float(function(labels, outputs))
  except Exception as error:
    raise UserError(
      f"`metric` {name} fails ({words_of(error)}): mend it; the same command "
      "goes on."
    ) from error
  if not math.isfinite(value):
    raise UserError(
      f"`metric` {name} is {value}, but must be finite: return a number where "
      "it is not defined."
    )
  return value

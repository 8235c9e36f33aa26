"""Metrics that a command line names, to stand beside those of a task."""

from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from engine.errors import UserError, quoted
from launch.command.named import named


def define_metric() -> None:
  """Defines --metric, for a door that evaluates."""
  flags.DEFINE_multi_string(
    "metric", [], "module:function of labels and outputs; repeatable."
  )


def own_metrics(paths: Sequence[str]) -> dict[str, Callable[..., Any]]:
  """Finds metrics; each is called by the name of its function.

  Args:
    paths: module:function of each. It takes what `engine.task.Task.metrics`
      does, labels [examples] and outputs [examples, ...], those of classes
      being logits, and returns a number.

  Returns:
    What `engine.task.Task.more_metrics` is.

  Raises:
    UserError: where one is not there, or two have one name.
  """
  found: dict[str, Callable[..., Any]] = {}
  for path in paths:
    function, name = named(path, "metric"), path.rpartition(":")[2]
    if not callable(function):
      raise UserError(
        f"`metric` is {quoted(path)}, which is no function: name "
        "module:function of one that takes labels and outputs."
      )
    if found.get(name, function) is not function:
      raise UserError(
        f"`metric` is {quoted(path)}, but another one is called {name} too: "
        "call one of the functions otherwise."
      )
    found[name] = function
  return found

"""Metrics of the user's own stand beside those of the task."""

import types

import numpy as np
import pytest

from engine.errors import UserError
from launch.command.own_metrics import add_metrics

LABELS, OUTPUTS = np.array([0, 1, 1]), np.array([[2.0, 1], [0, 1], [1, 0]])


def misses(labels, outputs):
  return int((outputs.argmax(-1) != labels).sum())


def accuracy(labels, outputs):
  return 1.0


def nothing(labels, outputs):
  return float("nan")


def broken(labels, outputs):
  return labels[99]


def greedy(labels, outputs):
  labels[:] = 0
  return 0.0


def task_with(*names):
  task = types.SimpleNamespace(metrics=lambda x, y: {"accuracy": 0.5})
  add_metrics(task, [f"{__name__}:{name}" for name in names])
  return task


def test_a_function_of_labels_and_outputs_is_a_metric_of_its_name():
  found = task_with("greedy", "misses").metrics(LABELS, OUTPUTS)
  assert found == {"accuracy": 0.5, "greedy": 0.0, "misses": 1.0}
  assert LABELS.tolist() == [0, 1, 1]
  assert task_with().metrics(LABELS, OUTPUTS) == {"accuracy": 0.5}


@pytest.mark.parametrize(
  ("name", "complaint"),
  [
    ("accuracy", "accuracy is one that the task has: call your function"),
    ("nothing", "nothing is nan, but must be finite"),
    ("broken", "broken fails .*: mend it; the same command goes on"),
  ],
)
def test_what_is_no_number_or_no_name_is_refused(name, complaint):
  with pytest.raises(UserError, match=complaint):
    task_with(name).metrics(LABELS, OUTPUTS)


@pytest.mark.parametrize(
  ("path", "complaint"),
  [
    ("no_such_module:x", "`metric` .* no_such_module cannot be imported"),
    ("misses", "misses cannot be imported"),
    (f"{__name__}:LABELS", "which is no function"),
    (f"{__name__}:nowhere", "which is no function"),
  ],
)
def test_what_is_no_function_is_refused(path, complaint):
  with pytest.raises(UserError, match=complaint):
    add_metrics(types.SimpleNamespace(metrics=None), [path])

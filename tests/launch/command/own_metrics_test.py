"""Metrics of the user's own are found, or refused in one line."""

import pytest

from engine.errors import UserError
from launch.command.own_metrics import own_metrics

NUMBER = 1


def misses(labels, outputs):
  return int((outputs.argmax(-1) != labels).sum())


def test_a_metric_has_the_name_of_its_function():
  path = f"{__name__}:misses"
  assert own_metrics([path, path]) == {"misses": misses}
  assert own_metrics([]) == {}


@pytest.mark.parametrize(
  ("path", "complaint"),
  [
    ("no_such_module:x", "`metric` .* no_such_module cannot be imported"),
    ("misses", "'misses', but must be .* as package.module:Name"),
    (":misses", "':misses', but must be a module and"),
    (f"{__name__}:NUMBER", "which is no function"),
    (f"{__name__}:nowhere", "which is no function"),
    ("operator:misses", "which is no function"),
  ],
)
def test_what_is_no_function_is_refused(path, complaint):
  with pytest.raises(UserError, match=complaint):
    own_metrics([path])


def test_two_of_one_name_are_refused():
  with pytest.raises(UserError, match="'operator:pow', but another one is cal"):
    own_metrics(["math:pow", "operator:pow"])

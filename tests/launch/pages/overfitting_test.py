"""A run whose evaluation gets worse while training goes on is told of."""

import pytest

from launch.pages.overfitting import overfitting


def points(train, evaluation):
  """A point of training before each evaluation, ten steps apart."""
  for i, (ours, theirs) in enumerate(zip(train, evaluation, strict=True), 1):
    yield {"kind": "train", "step": 10 * i - 1, "loss": ours}
    yield {"kind": "eval", "step": 10 * i, "loss": theirs}


def test_it_names_the_best_step_and_all_four_losses():
  said = overfitting([*points([0.7, 0.5, 0.2], [0.65, 0.6, 0.93])])
  assert said == (
    "overfitted: since step 20 the evaluation's loss has risen from 0.6000 to "
    "0.9300, that of training fallen from 0.5000 to 0.2000"
  )


@pytest.mark.parametrize(
  ("train", "evaluation"),
  [
    ([0.7, 0.5, 0.2], [0.65, 0.6, 0.55]),  # It falls.
    ([0.7, 0.5, 0.2], [0.65, 0.6, 0.65]),  # It wavers.
    ([0.7, 0.5, 0.6], [0.65, 0.6, 0.93]),  # Training gets worse too.
    ([0.7], [0.93]),
    ([], []),
  ],
)
def test_nothing_is_said_where_it_is_not_so(train, evaluation):
  assert overfitting([*points(train, evaluation)]) == ""


def test_a_run_that_was_only_evaluated_says_nothing():
  lines = [{"kind": "eval", "step": k, "loss": 0.1 * k} for k in (1, 5)]
  assert overfitting(lines) == ""

"""Shares that mean what they say, and the temperature that mends others."""

import numpy as np
import pytest
from sklearn import metrics

from tasks.calibration import (
  before_and_after,
  bins,
  errors_of,
  fit_temperature,
  on_other_halves,
  shares_of,
)


def drawn(number, temperature, classes=2, seed=0):
  """Labels that follow the shares of logits, and these times a factor."""
  random = np.random.default_rng(seed)
  logits = 1.5 * random.normal(size=[number, classes])
  ranks = np.cumsum(shares_of(logits), -1) < random.random([number, 1])
  return ranks.sum(-1).clip(max=classes - 1), logits * temperature


def test_calibration_is_the_distance_of_confidence_and_accuracy():
  sure = np.array([0.95, 0.95, 0.65, 0.65])
  right = np.array([True, True, True, False])
  confidences, accuracies, error = bins(sure, right)
  assert confidences == pytest.approx([0.65, 0.95])
  assert accuracies == pytest.approx([0.5, 1.0])
  assert error == pytest.approx((0.15 + 0.05) / 2)


def test_errors_are_those_of_scikit_learn():
  labels, logits = drawn(300, 2.0)
  shares = shares_of(logits)
  found = errors_of(labels, shares)
  assert found["nll"] == pytest.approx(metrics.log_loss(labels, shares))
  of_second = metrics.brier_score_loss(labels, shares[:, 1])
  assert found["brier"] == pytest.approx(2 * of_second)
  perfect = errors_of(labels, np.eye(2)[labels])
  assert perfect == {"ece": 0, "brier": 0, "nll": 0}
  assert np.isfinite(errors_of(labels, np.eye(2)[1 - labels])["nll"])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_temperature_is_found_again(temperature, classes):
  labels, logits = drawn(20_000, temperature, classes)
  assert fit_temperature(labels, logits) == pytest.approx(temperature, rel=0.05)


def test_what_is_too_sure_is_mended_on_examples_that_were_not_fitted_on():
  labels, logits = drawn(2000, 5.0)
  found = on_other_halves(labels, logits)
  assert found["before"]["ece"] > 0.15
  assert found["after"]["ece"] < 0.04
  assert found["after"]["nll"] < found["before"]["nll"]
  assert found["examples"] == 2000


def test_halves_are_not_mended_by_their_own_labels():
  """Labels of no pattern: a half fitted on itself would look better."""
  random = np.random.default_rng(3)
  labels, logits = random.integers(2, size=40), random.normal(size=[40, 2])
  own = fit_temperature(labels, logits)
  best = errors_of(labels, shares_of(logits, own))["nll"]
  assert on_other_halves(labels, logits)["after"]["nll"] > best


def test_shares_that_are_right_have_the_error_of_chance():
  least = []
  for number in (100, 10_000):
    labels, logits = drawn(number, 1.0)
    right, sure = shares_of(logits), shares_of(logits * 5)
    found = before_and_after(labels, sure, right)
    least.append(found["least"]["ece"])
    assert found["after"]["ece"] < 2.5 * least[-1] < found["before"]["ece"]
  assert least[0] > 5 * least[1]

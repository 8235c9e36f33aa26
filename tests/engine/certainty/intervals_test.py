"""95 % intervals hold the truth in 95 of 100 cases."""

import numpy as np
import pytest
from scipy import stats

from engine.certainty import intervals
from engine.certainty.intervals import interval, intervals_of, wilson
from tests.support import worlds

CASES = 2000  # Splits that might have been drawn,
PAIRS = 408  # of so many examples.


def coverage(monkeypatch, kind, cases=CASES):
  """The share of splits whose interval holds the truth."""
  monkeypatch.setattr(intervals, "DRAWS", 1000)
  monkeypatch.setattr(intervals, "_WORK", 1000 * PAIRS)
  random = np.random.default_rng(17)
  truth, draw = worlds.TRUE[kind], worlds.DRAWN[kind]
  held = 0
  for _ in range(cases):
    low, high = interval(draw(random, PAIRS))
    held += low <= truth <= high
  return held / cases


@pytest.mark.parametrize("kind", ["accuracy", "f1"])
def test_intervals_of_classes_cover_the_truth(monkeypatch, kind):
  assert 0.935 <= coverage(monkeypatch, kind) <= 0.965


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mcc", "pearson", "spearman", "mse"])
def test_intervals_of_all_kinds_cover_the_truth(monkeypatch, kind):
  assert 0.935 <= coverage(monkeypatch, kind) <= 0.965


def test_a_share_has_wilsons_interval():
  # Of 8 in 10 (Brown, Cai and DasGupta, Statistical Science 16, 2001).
  assert wilson(8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)
  assert wilson(10, 10)[1] == 1.0


def test_an_interval_is_a_function_of_the_examples():
  random = np.random.default_rng(0)
  for kind in worlds.DRAWN:
    statistic = worlds.DRAWN[kind](random, 100)
    assert interval(statistic) == interval(statistic), kind
    low, high = interval(statistic)
    assert low < statistic.value() < high


def test_more_examples_are_known_better():
  random = np.random.default_rng(0)
  for kind in worlds.DRAWN:
    widths = [
      np.ptp(interval(worlds.DRAWN[kind](random, n))) for n in (100, 1600)
    ]
    assert 3 < widths[0] / widths[1] < 5.5, kind


def test_many_examples_have_the_interval_of_all_draws(monkeypatch):
  statistic = worlds.DRAWN["pearson"](np.random.default_rng(0), 6000)
  slow = interval(statistic)
  monkeypatch.setattr(intervals, "_MANY", 2000)
  np.testing.assert_allclose(interval(statistic), slow, atol=1.5e-3)


def test_what_nothing_can_change_has_no_width():
  labels = np.array([0, 1] * 10)
  table = {
    "labels": labels,
    "outputs": np.eye(2)[labels],
    "losses": np.zeros(20),
  }
  found = intervals_of(table, {"f1": 1.0, "accuracy": 1.0, "loss": 0.0})
  assert found["f1"] == [1.0, 1.0] and found["loss"] == [0.0, 0.0]
  assert found["accuracy"][0] < 0.9


def test_a_bootstrap_is_that_of_scipy():
  statistic = worlds.DRAWN["pearson"](np.random.default_rng(3), 200)
  x, y = statistic.values[:, 0], statistic.values[:, 1]
  theirs = stats.bootstrap(
    (x, y),
    lambda x, y, axis: stats.pearsonr(x, y, axis=axis).statistic,
    paired=True,
    vectorized=True,
    n_resamples=3000,
    method="BCa",
    rng=np.random.default_rng(0),
  ).confidence_interval
  np.testing.assert_allclose(interval(statistic), theirs, atol=4e-3)

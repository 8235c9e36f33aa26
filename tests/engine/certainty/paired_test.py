"""A difference is shown where there is one, and seldom where there is none."""

import numpy as np
import pytest
from scipy import stats

from engine.certainty import intervals
from engine.certainty.paired import (
  Difference,
  compare_means,
  compare_one,
  examples_needed,
  mcnemar,
  permutation,
  verdict,
)
from tests.support.worlds import classes_of, scores_of

CASES, PAIRS = 2000, 408


def two_runs(random, kind, gain=0.0):
  """Two results on the same examples, some of which are hard for both."""
  hard = random.normal(size=PAIRS)
  if kind in ("accuracy", "f1"):
    labels = (random.random(PAIRS) < 0.68).astype(int)
    found = []
    for more in (0.0, gain):
      right = hard + 0.7 * random.normal(size=PAIRS) + 1.2 + more > 0
      called = np.where(right, labels, 1 - labels)
      found += classes_of(labels, called, kind)
    return found
  labels = random.normal(size=PAIRS)
  return [
    scores_of(labels, labels + 0.3 * hard + s * noise, kind)[0]
    for s, noise in zip(
      (0.3, 0.3 - gain), random.normal(size=[2, PAIRS]), strict=True
    )
  ]


def false_alarms(kind, test):
  random = np.random.default_rng(29)
  found = [test(*two_runs(random, kind)) for _ in range(CASES)]
  return np.mean(np.array(found) <= 0.05)


def test_mcnemar_is_mistaken_in_1_of_20_cases():
  test = lambda a, b: mcnemar(a.values[:, 0] > 0, b.values[:, 0] > 0)[0]
  assert 0.035 <= false_alarms("accuracy", test) <= 0.065


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["f1", "pearson", "spearman"])
def test_permutation_is_mistaken_in_1_of_20_cases(monkeypatch, kind):
  monkeypatch.setattr(intervals, "_WORK", 1000 * PAIRS)
  assert 0.035 <= false_alarms(kind, permutation) <= 0.065


def test_mcnemar_is_exact_where_few_disagree():
  first = np.zeros(100, bool)
  second = first.copy()
  second[:8] = True
  first[99] = True
  p, test = mcnemar(first, second)
  exact = stats.binomtest(1, 9).pvalue
  assert test == "McNemar, exact (mid-p)"
  assert p == pytest.approx(exact - stats.binom.pmf(1, 9, 0.5))
  assert mcnemar(first, first) == (1.0, "McNemar, exact")
  many = np.arange(100) < 60
  p, test = mcnemar(many, ~many)
  assert test == "McNemar"
  assert p == pytest.approx(stats.chi2.sf((40 - 60) ** 2 / 100, 1))


@pytest.mark.parametrize(
  ("kind", "gain"),
  [("accuracy", 0.6), ("f1", 0.6), ("pearson", 0.2), ("spearman", 0.2)],
)
def test_a_large_difference_is_shown_and_its_negative_too(kind, gain):
  a, b = two_runs(np.random.default_rng(1), kind, gain)
  gained, lost = compare_one(a, b), compare_one(b, a)
  assert verdict("b", [gained], falling=False) == "b is better"
  assert verdict("a", [lost], falling=False) == "a is worse"
  assert verdict("b", [gained], falling=True) == "b is worse"
  assert gained.difference == pytest.approx(-lost.difference)
  assert gained.p == pytest.approx(lost.p, abs=2e-3)
  assert gained.interval[0] <= gained.difference <= gained.interval[1]
  assert examples_needed([a], [b]) < PAIRS
  assert examples_needed([a], [a]) is None


def test_better_is_refused_above_005_and_where_the_interval_has_0():
  shown = Difference((0.8, 0.9), (0.05, 0.15), 0.05, "")
  assert verdict("b", [shown], falling=False) == "b is better"
  for more in (
    Difference((0.8, 0.9), (0.05, 0.15), 0.0501, ""),
    Difference((0.8, 0.9), (-0.01, 0.15), 0.01, ""),
    Difference((0.9, 0.8), (-0.15, -0.05), 0.01, ""),
  ):
    assert verdict("b", [shown, more], falling=False) == "no difference shown"


def test_means_over_runs_are_compared_example_by_example():
  random = np.random.default_rng(2)
  pairs = [two_runs(random, "f1") for _ in range(2)]
  firsts, seconds = zip(*pairs, strict=True)
  same = compare_means(firsts, firsts)
  assert (same.difference, same.p) == (0.0, 1.0)
  found = compare_means(firsts, seconds)
  assert found.values[0] == pytest.approx(np.mean([x.value() for x in firsts]))
  one = compare_means(firsts[:1], seconds[:1])
  assert one.interval == compare_one(firsts[0], seconds[0]).interval


def test_the_examples_that_are_needed_show_it_in_4_of_5_cases(monkeypatch):
  monkeypatch.setattr(intervals, "DRAWS", 200)
  random = np.random.default_rng(4)
  a, b = two_runs(random, "accuracy", gain=0.6)
  needed = examples_needed([a], [b])
  shown = []
  for _ in range(300):
    some = random.integers(PAIRS, size=needed)
    p, _ = mcnemar(a.values[some, 0] > 0, b.values[some, 0] > 0)
    shown.append(p <= 0.05)
  assert 0.72 <= np.mean(shown) <= 0.88

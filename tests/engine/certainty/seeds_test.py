"""Seeds are random: what others would have brought."""

import numpy as np
import pytest
from scipy import stats

from engine.certainty.seeds import seeds_needed, welch

DROPOUT = [0.7990, 0.7892, 0.8284]  # MRPC dev, docs/results.md.
NONE = [0.8235, 0.8162, 0.8284, 0.8235, 0.8015]


def test_the_difference_of_dropout_is_not_shown():
  found = welch(DROPOUT, NONE)
  assert found.difference == pytest.approx(0.0131, abs=1e-4)
  assert found.p == pytest.approx(0.395, abs=0.02)
  assert found.interval[0] < 0 < found.interval[1]
  assert not found.is_shown


def test_false_alarms_over_seeds_are_1_in_20():
  random = np.random.default_rng(0)
  runs = random.normal(size=[2000, 2, 5]) * [[1.0], [2.0]]
  alarms = np.mean([welch(*each).p <= 0.05 for each in runs])
  assert 0.035 <= alarms <= 0.065


def test_so_many_seeds_show_it_in_4_of_5_cases():
  random = np.random.default_rng(1)
  needed = seeds_needed(DROPOUT, NONE)
  pooled = np.sqrt((np.var(DROPOUT, ddof=1) + np.var(NONE, ddof=1)) / 2)
  seen = np.mean(NONE) - np.mean(DROPOUT)
  runs = random.normal(size=[2, 4000, needed]) * pooled
  p = stats.ttest_ind(runs[0], runs[1] + seen, axis=1).pvalue
  assert 0.78 <= np.mean(p <= 0.05) <= 0.83


def test_what_seeds_do_not_change_needs_no_more_of_them():
  assert seeds_needed([0.8, 0.8], [0.9, 0.9]) is None
  assert seeds_needed([0.8, 0.9], [0.9, 0.8]) is None
  assert welch([0.8, 0.8], [0.9, 0.9]).p == 0
  assert welch([0.8, 0.8], [0.8, 0.8]).p == 1
  assert seeds_needed([0.8, 0.9], [0.85, 0.95001]) >= 2
  assert seeds_needed([0.0, 1.0], [0.0, 1.000001]) == 100_000

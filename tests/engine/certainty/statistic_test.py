"""A metric that is known by example is the one that was reported."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from engine.certainty.statistic import mid_ranks, statistics_of

RANDOM = np.random.default_rng(5)


def table_of(labels, outputs):
  losses = RANDOM.random(len(labels))
  return {"labels": labels, "outputs": outputs, "losses": losses}


@pytest.mark.parametrize("positive", [0, 1])
def test_two_classes_have_the_f1_that_was_reported(positive):
  labels = RANDOM.integers(2, size=60)
  outputs = RANDOM.normal(size=[60, 2])
  called = outputs.argmax(-1)
  reported = {
    "accuracy": metrics.accuracy_score(labels, called),
    "f1": metrics.f1_score(labels, called, pos_label=positive),
    "mcc": float(metrics.matthews_corrcoef(labels, called)),
  }
  found = statistics_of(table_of(labels, outputs), reported)
  assert set(found) == set(reported)
  for name, statistic in found.items():
    assert statistic.value() == pytest.approx(reported[name])


def test_three_classes_have_macro_f1_of_those_that_occur():
  labels = np.array([0, 1, 1, 3, 0, 1, 3, 3, 0, 1])
  called = np.array([0, 1, 3, 3, 1, 1, 3, 0, 0, 1])  # Nobody is 2.
  reported = {
    "f1": metrics.f1_score(labels, called, average="macro"),
    "mcc": float(metrics.matthews_corrcoef(labels, called)),
  }
  found = statistics_of(table_of(labels, np.eye(4)[called]), reported)
  assert set(found) == {"f1", "mcc"}


def test_scores_have_their_correlations():
  labels = np.round(RANDOM.normal(size=80) * 2)
  outputs = (labels + RANDOM.normal(size=80))[:, None]
  reported = {
    "pearson": float(stats.pearsonr(labels, outputs[:, 0])[0]),
    "spearman": float(stats.spearmanr(labels, outputs[:, 0])[0]),
    "mse": float(np.mean((outputs[:, 0] - labels) ** 2)),
  }
  assert set(statistics_of(table_of(labels, outputs), reported)) == set(
    reported
  )


def test_what_comes_out_otherwise_is_another_metric():
  labels, outputs = RANDOM.integers(2, size=60), RANDOM.normal(size=[60, 2])
  right = float(np.mean(outputs.argmax(-1) == labels))
  table = table_of(labels, outputs)
  assert not statistics_of(table, {"accuracy": right + 0.01, "pr_auc": 0.5})
  assert set(statistics_of(table, {"accuracy": right})) == {"accuracy"}
  of_text = {**table, "outputs": {"a": outputs}}
  mean = float(table["losses"].mean())
  assert set(statistics_of(of_text, {"accuracy": right, "loss": mean})) == {
    "loss"
  }


def test_ranks_of_drawn_examples_are_those_of_the_repeated_ones():
  values = np.array([3.0, 1.0, 3.0, 2.0, 7.0])
  counts = np.array([[1, 1, 1, 1, 1], [0, 2, 1, 3, 1], [5, 0, 0, 0, 0]])
  found = mid_ranks(values, counts.astype(float))
  for row, count in zip(found, counts, strict=True):
    repeated = stats.rankdata(np.repeat(values, count))
    np.testing.assert_allclose(np.repeat(row, count), repeated)
  np.testing.assert_allclose(mid_ranks(values), stats.rankdata(values))

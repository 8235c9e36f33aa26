"""Examples drawn from worlds whose metrics are known exactly."""

import numpy as np
from scipy import stats

from engine.certainty.statistic import Statistic, statistics_of

SHARE = 0.68  # Of label 1,
RIGHT = np.array([0.65, 0.87])  # and how often each label is called right.
R = 0.86

_TP, _FN = SHARE * RIGHT[1], SHARE * (1 - RIGHT[1])
_TN, _FP = (1 - SHARE) * RIGHT[0], (1 - SHARE) * (1 - RIGHT[0])
TRUE = {
  "accuracy": _TP + _TN,
  "f1": 2 * _TP / (2 * _TP + _FP + _FN),
  "mcc": (_TP * _TN - _FP * _FN)
  / np.sqrt((_TP + _FP) * (_TP + _FN) * (_TN + _FP) * (_TN + _FN)),
  "pearson": R,
  "spearman": 6 / np.pi * np.arcsin(R / 2),
  "mse": 2 - 2 * R,
}


def classes_of(labels, called, *kinds) -> list[Statistic]:
  """Metrics of two classes, by example."""
  tp = np.sum(labels & called)
  compute = {
    "accuracy": lambda: float(np.mean(labels == called)),
    "f1": lambda: float(2 * tp / (labels.sum() + called.sum())),
    "mcc": lambda: float(np.corrcoef(labels, called)[0, 1]),
  }
  return _found(labels, np.eye(2)[called], {k: compute[k]() for k in kinds})


def scores_of(labels, scores, *kinds) -> list[Statistic]:
  """Metrics of scores, by example."""
  compute = {
    "pearson": lambda: float(np.corrcoef(labels, scores)[0, 1]),
    "spearman": lambda: float(stats.spearmanr(labels, scores)[0]),
    "mse": lambda: float(np.mean((scores - labels) ** 2)),
  }
  return _found(labels, scores[:, None], {k: compute[k]() for k in kinds})


def _found(labels, outputs, reported) -> list[Statistic]:
  losses = np.zeros(len(labels))
  table = {"labels": labels, "outputs": outputs, "losses": losses}
  found = statistics_of(table, reported)
  return [found[kind] for kind in reported]


def _classes(kind):
  def draw(random, number):
    labels = (random.random(number) < SHARE).astype(int)
    right = random.random(number) < RIGHT[labels]
    return classes_of(labels, np.where(right, labels, 1 - labels), kind)[0]

  return draw


def _scores(kind):
  def draw(random, number):
    x, noise = random.normal(size=[2, number])
    return scores_of(x, R * x + np.sqrt(1 - R * R) * noise, kind)[0]

  return draw


DRAWN = {
  kind: (_classes if kind in ("accuracy", "f1", "mcc") else _scores)(kind)
  for kind in TRUE
}

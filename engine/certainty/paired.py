"""Two results on the same examples: what differs, and whether by chance."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from engine.certainty.intervals import (
  LEVEL,
  drawn_together,
  number_of_draws,
)
from engine.certainty.statistic import Statistic

POWER = 0.8
_FEW = 25  # Examples that disagree, below which McNemar's test is exact.
_LARGE = 10**9
_BLOCK = 2**20  # Examples that change sides at once.
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Difference:
  """How much a second result differs from a first one.

  Attributes:
    values: the metric of each.
    interval: of the difference, 95 %.
    p: how often chance alone makes such a difference, or a larger one.
    test: what computed it.
  """

  values: tuple[float, float]
  interval: tuple[float, float]
  p: float
  test: str

  @property
  def difference(self) -> float:
    """Second less first."""
    return self.values[1] - self.values[0]

  @property
  def is_shown(self) -> bool:
    """Whether it may be called one: by test and interval both."""
    low, high = self.interval
    return self.p <= 1 - LEVEL and not low <= 0 <= high


def verdict(
  name: str, differences: Sequence[Difference], *, falling: bool
) -> str:
  """Returns one of three fixed sentences about a second result.

  Args:
    name: of it.
    differences: by each test that was made; all must show it.
    falling: whether less is better.
  """
  ways = {(x.difference > 0) != falling for x in differences if x.is_shown}
  if len(ways) != 1 or not all(x.is_shown for x in differences):
    return "no difference shown"
  return f"{name} is {'better' if ways.pop() else 'worse'}"


def compare_one(first: Statistic, second: Statistic) -> Difference:
  """Compares two results, by example: for other examples of their kind.

  Raises:
    AssertionError: where they are not of the same examples.
  """
  assert first.values.shape[0] == second.values.shape[0]
  interval = _interval([first], [second])
  values = first.value(), second.value()
  if first.is_share:
    p, test = mcnemar(first.values[:, 0] > 0, second.values[:, 0] > 0)
  else:
    p, test = permutation(first, second), "permutation"
  return Difference(values, interval, p, test)


def compare_means(
  firsts: Sequence[Statistic], seconds: Sequence[Statistic]
) -> Difference:
  """Compares the means over runs, by example: for these runs as they are."""
  drawn = drawn_differences(firsts, seconds)
  means = [float(np.mean([s.value() for s in x])) for x in (firsts, seconds)]
  below, above = float(np.mean(drawn <= 0)), float(np.mean(drawn >= 0))
  p = min(1.0, 2 * max(min(below, above), 1 / (len(drawn) + 1)))
  return Difference(
    (means[0], means[1]), _quantiles(drawn), float(p), "paired bootstrap"
  )


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[float, str]:
  """McNemar's test of which examples are right: p, and its form.

  Where few disagree it is the exact one, with the mid-p that keeps its size
  (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13, 2013),
  else the asymptotic one without a correction.

  Args:
    first: bool [examples].
    second: likewise.
  """
  from scipy import stats

  gained = int(np.sum(second & ~first))
  lost = int(np.sum(first & ~second))
  apart = gained + lost
  if not apart:
    return 1.0, "McNemar, exact"
  if apart < _FEW:
    least = min(gained, lost)
    tail = stats.binom.cdf(least, apart, 0.5)
    p = 2 * tail - stats.binom.pmf(least, apart, 0.5)
    return min(1.0, float(p)), "McNemar, exact (mid-p)"
  return float(stats.chi2.sf((gained - lost) ** 2 / apart, 1)), "McNemar"


def permutation(first: Statistic, second: Statistic) -> float:
  """Returns p of a difference if it did not matter which result was whose.

  Each draw gives some examples' results to the other side (Noreen, 1989;
  Yeh, arXiv cs/0008005). Of ranks those within each result are given.
  """
  random = np.random.default_rng(_SEED)
  a, b = first.averaged, second.averaged
  seen = abs(second.value() - first.value())
  number = len(a)
  draws = number_of_draws(number)
  step = max(1, _BLOCK // number)
  hits = 0
  for begun in range(0, draws, step):
    rows = min(step, draws - begun)
    swaps = (random.random((rows, number)) < 0.5).astype(np.float64)
    moved = swaps @ (b - a) / number
    found = second.of(b.mean(0) - moved) - first.of(a.mean(0) + moved)
    hits += int(np.sum(np.abs(found) >= seen - 1e-12))
  return (hits + 1) / (draws + 1)


def drawn_differences(
  firsts: Sequence[Statistic], seconds: Sequence[Statistic]
) -> np.ndarray:
  """Differences of the means over runs, of examples drawn again: [draws]."""
  runs = [*firsts, *seconds]
  found = drawn_together(runs)
  return found[len(firsts) :].mean(0) - found[: len(firsts)].mean(0)


def _interval(
  firsts: Sequence[Statistic], seconds: Sequence[Statistic]
) -> tuple[float, float]:
  return _quantiles(drawn_differences(firsts, seconds))


def _quantiles(drawn: np.ndarray) -> tuple[float, float]:
  tail = (1 - LEVEL) / 2
  low, high = np.quantile(drawn, [tail, 1 - tail])
  return float(low), float(high)


def examples_needed(
  firsts: Sequence[Statistic], seconds: Sequence[Statistic]
) -> int | None:
  """Examples that would show the difference seen, in 4 of 5 comparisons.

  From the deviation of the difference over examples drawn again, by a normal
  approximation. None: there is no difference to be shown.
  """
  from scipy import special

  means = [float(np.mean([s.value() for s in x])) for x in (firsts, seconds)]
  seen = means[1] - means[0]
  if not seen:
    return None
  deviation = float(np.std(drawn_differences(firsts, seconds)))
  factor = special.ndtri((1 + LEVEL) / 2) + special.ndtri(POWER)
  needed = len(firsts[0].values) * (factor * deviation / seen) ** 2
  return min(_LARGE, max(2, math.ceil(needed)))

"""Two recipes, each with some seeds: what other seeds would have brought."""

from collections.abc import Sequence

import numpy as np

from engine.certainty.intervals import LEVEL
from engine.certainty.paired import POWER, Difference

_MOST = 100_000  # Seeds that are still a number to be named.


def welch(first: Sequence[float], second: Sequence[float]) -> Difference:
  """Compares two groups of runs that differ in nothing else than seeds.

  Welch's t test and interval: seeds are random, the examples are as they are.

  Args:
    first: the metric of each run of one recipe, of two or more.
    second: that of the other.
  """
  from scipy import stats

  means = float(np.mean(first)), float(np.mean(second))
  if np.ptp(first) == 0 and np.ptp(second) == 0:
    # Runs that do not depend on seeds: what they say is all there is.
    apart = means[1] - means[0]
    return Difference(means, (apart, apart), 1.0 if not apart else 0.0, "Welch")
  found = stats.ttest_ind(second, first, equal_var=False)
  low, high = found.confidence_interval(LEVEL)
  return Difference(
    means, (float(low), float(high)), float(found.pvalue), "Welch"
  )


def seeds_needed(first: Sequence[float], second: Sequence[float]) -> int | None:
  """Seeds of each that would show the difference seen, in 4 of 5 comparisons.

  Of a two-sided t test at 5 % (Cohen, 1988, chapter 2), with the deviations of
  these runs. None: there is no difference, or none that seeds could hide.
  """
  from scipy import stats

  seen = abs(float(np.mean(second)) - float(np.mean(first)))
  pooled = float(np.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2))
  if not seen or not pooled:
    return None

  def power(number: int) -> float:
    freedom = 2 * (number - 1)
    moved = seen / pooled * np.sqrt(number / 2)
    limit = stats.t.ppf((1 + LEVEL) / 2, freedom)
    return float(stats.nct.sf(limit, freedom, moved))

  low, high = 2, 2
  while power(high) < POWER:
    if high >= _MOST:
      return _MOST
    low, high = high, high * 2
  while low < high:
    middle = (low + high) // 2
    low, high = (low, middle) if power(middle) >= POWER else (middle + 1, high)
  return high

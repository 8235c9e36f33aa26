"""95 % intervals of metrics, of the examples that might have been drawn.

They hold for other examples of the same kind, not for other seeds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from engine.certainty.statistic import (
  Statistic,
  mid_ranks,
  statistics_of,
)

LEVEL = 0.95
DRAWS = 10_000  # Of a bootstrap, at most,
_WORK = 4 * 10**6  # and so many examples drawn in all of them,
_AT_LEAST = 400  # but so many draws.
_MANY = 10_000  # Examples that are all drawn from.
_BLOCK = 2**21  # Examples that are drawn at once.
_SEED = 0  # Equal examples have equal intervals.


def intervals_of(
  table: Mapping[str, Any], reported: Mapping[str, Any]
) -> dict[str, list[float]]:
  """Returns metric -> [low, high], of those that are known by example.

  Args:
    table: what was kept of each example, see `statistics_of`.
    reported: the metrics of all of them.
  """
  return {
    name: interval(statistic)
    for name, statistic in statistics_of(table, reported).items()
  }


def interval(statistic: Statistic) -> list[float]:
  """Returns [low, high]: Wilson's of a share, else of a bootstrap."""
  number = len(statistic.values)
  if statistic.is_share:
    return wilson(int(round(statistic.values.sum())), number)
  return bca(statistic) if number <= _MANY else of_many(statistic)


def wilson(count: int, number: int) -> list[float]:
  """Wilson's score interval of a share (JASA 22, 1927)."""
  # Imported here: SciPy costs a moment.
  from scipy import stats

  found = stats.binomtest(count, number).proportion_ci(LEVEL, method="wilson")
  return [float(found.low), float(found.high)]


def bca(statistic: Statistic) -> list[float]:
  """Bias-corrected and accelerated bootstrap (Efron, JASA 82, 1987)."""
  from scipy import special

  drawn = np.sort(draws(statistic))
  value = statistic.value()
  below = (np.sum(drawn < value) + np.sum(drawn <= value)) / 2 / len(drawn)
  if not 0 < below < 1:  # It cannot be otherwise, whatever is drawn.
    return [float(drawn[0]), float(drawn[-1])]
  bias = special.ndtri(below)
  influence = influences(statistic)
  spread = np.sum(np.square(influence)) ** 1.5
  skew = np.sum(influence**3) / (6 * spread) if spread > 0 else 0.0
  tail = special.ndtri((1 - LEVEL) / 2)
  ends = []
  for z in (bias + tail, bias - tail):
    ends.append(float(special.ndtr(bias + z / (1 - skew * z))))
  return [float(x) for x in np.quantile(drawn, ends)]


def of_many(statistic: Statistic) -> list[float]:
  """Normal interval, by the deviation of a bootstrap of some of the examples.

  Of so many all metrics are normal, and their deviation is that of fewer,
  divided by the root of the ratio.
  """
  from scipy import special

  number = len(statistic.values)
  random = np.random.default_rng(_SEED)
  some = random.choice(number, _MANY, replace=False, shuffle=False)
  deviation = np.std(draws(statistic.of_some(some))) * np.sqrt(_MANY / number)
  value, half = statistic.value(), special.ndtri((1 + LEVEL) / 2) * deviation
  return [float(value - half), float(value + half)]


def influences(statistic: Statistic) -> np.ndarray:
  """How much each example moves the metric: jackknife, centred, [examples].

  Of ranks those of all examples are taken: they move little without one.
  """
  values = statistic.averaged
  number = len(values)
  if number < 2:
    return np.zeros(number)
  means = (values.sum(0) - values) / (number - 1)
  left = statistic.of(means)
  return left.mean() - left


def draws(statistic: Statistic) -> np.ndarray:
  """Returns the metric of examples drawn with replacement: [draws]."""
  return drawn_together([statistic])[0]


def drawn_together(statistics: Sequence[Statistic]) -> np.ndarray:
  """Returns metrics of the same examples, drawn again: [metrics, draws]."""
  random = np.random.default_rng(_SEED)
  number = len(statistics[0].values)
  if any(statistic.ranked for statistic in statistics):
    blocks = counted_blocks(random, number, number_of_draws(number))
    found = [
      [x.of(means_of(x, counts)) for x in statistics] for counts in blocks
    ]
    return np.concatenate(found, axis=1)
  values = np.concatenate([x.values for x in statistics], axis=1)
  # Examples that are alike are drawn together: of two classes four kinds.
  kinds, counts = np.unique(values, axis=0, return_counts=True)
  if len(kinds) * 8 <= number:
    means = random.multinomial(number, counts / number, DRAWS) @ kinds / number
  else:
    blocks = counted_blocks(random, number, number_of_draws(number))
    means = np.concatenate([counts @ values / number for counts in blocks])
  ends = np.cumsum([x.values.shape[1] for x in statistics])[:-1]
  parts = np.split(means, ends, axis=1)
  return np.stack(
    [x.of(part) for x, part in zip(statistics, parts, strict=True)]
  )


def number_of_draws(number: int) -> int:
  """How often so many examples are drawn, so that it takes a moment."""
  return int(np.clip(_WORK // max(number, 1), _AT_LEAST, DRAWS))


def counted_blocks(
  random: np.random.Generator, number: int, draws: int
) -> Iterator[np.ndarray]:
  """Yields how often each example is drawn: float64 [some draws, examples]."""
  block = max(1, _BLOCK // number)
  for first in range(0, draws, block):
    rows = min(block, draws - first)
    places = random.integers(number, size=(rows, number), dtype=np.int64)
    places += np.arange(rows)[:, None] * number
    counts = np.bincount(places.reshape(-1), minlength=rows * number)
    yield counts.reshape(rows, number).astype(np.float64)


def means_of(statistic: Statistic, counts: np.ndarray) -> np.ndarray:
  """Means of the moments of ranks among drawn examples, [draws, 5].

  Args:
    statistic: of ranks, of all examples.
    counts: how often each is drawn, [draws, examples].
  """
  number = len(statistic.values)
  x, y = (mid_ranks(v, counts) / number for v in statistic.values.T)
  pairs = ((x,), (y,), (x, x), (y, y), (x, y))
  sums = [np.einsum(f"dn{',dn' * len(p)}->d", counts, *p) for p in pairs]
  return np.stack(sums, -1) / number

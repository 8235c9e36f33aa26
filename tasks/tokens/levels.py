"""How long the streams are that programs are compiled for: as many as pay.

A level is a length, and so a program. Each one more leaves less padding, and
takes the seconds of a compilation. Which are best follows from what is declared
(`Trade`), never from a measured speed: a run that resumes has the same ones.

What a batch needs is nearly normal, being a sum. The best levels of a known
distribution are the cheapest path through the sizes that may be one (Bruce,
"Optimum quantization", MIT RLE technical report 429, 1965). As each level has a
cost of its own, the path says how many there are too (Jackson et al., IEEE
Signal Processing Letters 12, 2005, arXiv math/0309285).
"""

import math
from typing import NamedTuple

import numpy as np

TOKEN_STEP = 8  # Streams and packed rows are multiples.

# The levels of a run that weighs nothing against each other: standard
# deviations above the mean. Of six, the last at 3, these leave the least
# padding under a normal distribution. What is rarer than one batch in 700 has a
# level of its own; few batches in an epoch have the last two alone.
_FIXED = (-0.96, -0.26, 0.41, 0.99, 1.7, 3.0)
_RARE = 4.5
_FEW_BATCHES = 40
# What `best` chooses among: so many sizes a deviation, from and to so many.
_FINENESS = 16
_FARTHEST = 6.0
_UNLIKELY = 0.02  # Else a tail that hardly any batch is in has many levels.
_MOST_LEVELS = 12  # Programs take memory, too.


class Need(NamedTuple):
  """Tokens that a share of a batch needs: a normal distribution."""

  mean: float
  deviation: float


class Trade(NamedTuple):
  """What levels are weighed by.

  Attributes:
    batches: shares of batches that one device computes.
    program: tokens that it could compute in the time that a program takes to
      compile.
  """

  batches: int
  program: float


def fixed(need: Need, most: int, *, batches: float) -> list[int]:
  """Returns levels that suit most splits, for a number of batches in an epoch.

  Args:
    need: of a batch.
    most: tokens that no batch is above.
    batches: of an epoch.
  """
  usual = _FIXED[-1:] if batches < _FEW_BATCHES else _FIXED
  tokens = (need.mean + z * need.deviation for z in (*usual, _RARE))
  return sorted({min(most, round_up(t + 1, TOKEN_STEP)) for t in tokens})


def best(need: Need, most: int, trade: Trade) -> list[int]:
  """Returns the levels for which tokens and programs together cost least.

  A level costs its tokens for each batch that it is the smallest one for, and
  a program, as likely as there is such a batch at all. What none of them holds
  takes `most`.

  Args:
    need: of a batch.
    most: tokens that no batch is above.
    trade: what a program is worth.
  """
  step = max(TOKEN_STEP, round_up(need.deviation / _FINENESS, TOKEN_STEP))
  first, last = (
    min(most, round_up(need.mean + z * need.deviation + 1, step))
    for z in (-_FARTHEST, _FARTHEST)
  )
  sizes = np.unique([*range(max(step, first), last, step), last, most])
  below = np.array([0.0, *(_below(need, size) for size in sizes[:-1]), 1.0])
  cheapest, before = [0.0], [0]
  for i, size in enumerate(sizes, 1):
    share = np.maximum(below[i] - below[:i], 0.0)
    used = -np.expm1(trade.batches * np.log1p(-np.minimum(share, 1 - 1e-12)))
    floor = _UNLIKELY if size < most else 0.0
    programs = trade.program * np.maximum(used, floor)
    costs = cheapest[:i] + trade.batches * share * size + programs
    before.append(int(costs.argmin()))
    cheapest.append(float(costs.min()))
  levels, i = [], before[-1]
  while i:
    levels.append(int(sizes[i - 1]))
    i = before[i]
  if len(levels) > _MOST_LEVELS:
    return best(need, most, trade._replace(program=2 * trade.program))
  return levels[::-1] or [most]


def _below(need: Need, size: int) -> float:
  """Share of the batches that a level holds, a token of padding among them."""
  distance = (size - 1 - need.mean) / max(need.deviation, 1e-6)
  return 0.5 * math.erfc(-distance / math.sqrt(2))


def round_up(value: float, step: int) -> int:
  """Returns the next multiple of `step`."""
  return int(-(-value // step) * step)

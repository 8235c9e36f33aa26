"""As many lengths of streams as pay, where they leave least padding."""

import itertools
import math

import numpy as np
import pytest

from tasks.tokens import levels
from tasks.tokens.levels import Need, Trade

MRPC = Need(mean=1712.0, deviation=96.0)
MOST = 3336


def cost(sizes, need, trade):
  """What levels cost over a run, computed on their own."""
  total, below = 0.0, 0.0
  for size in (*sizes, MOST):
    z = (size - 1 - need.mean) / need.deviation
    now = 1.0 if size == MOST else 0.5 * math.erfc(-z / math.sqrt(2))
    share, below = now - below, now
    total += trade.batches * share * size
    total += trade.program * (1 - (1 - share) ** trade.batches)
  return total


@pytest.mark.parametrize(
  "batches, number",
  [(39, 1), (115, 1), (344, 2), (1_000, 3), (10_000, 9)],
)
def test_more_batches_pay_for_more_levels(batches, number):
  """Of those that batches are in: rarer ones may be declared above."""
  found = levels.best(MRPC, MOST, Trade(batches, program=14 * MRPC.mean))
  usual = [size for size in found if size < MRPC.mean + 3.9 * MRPC.deviation]
  assert len(usual) == number


def test_an_accelerator_has_one_level_below_ten_thousand_batches():
  for batches in (100, 1_000, 10_000):
    trade = Trade(batches, program=13_000 * MRPC.mean)
    assert len(levels.best(MRPC, MOST, trade)) == 1


@pytest.mark.parametrize("batches, program", [(344, 14), (1_000, 14)])
def test_no_other_levels_cost_less(batches, program):
  trade = Trade(batches, program * MRPC.mean)
  found = levels.best(MRPC, MOST, trade)
  least = cost(found, MRPC, trade)
  grid = range(1560, 2200, 40)
  for number in (1, 2, 3):
    for other in itertools.combinations(grid, number):
      assert cost(other, MRPC, trade) >= 0.999 * least, other


def test_levels_ascend_in_steps_and_stay_below_the_most():
  rng = np.random.default_rng(0)
  for _ in range(100):
    mean, relative, batches, program = 10 ** rng.uniform(
      [1, -3, 0, 0], [6, -0.5, 6, 9]
    )
    need = Need(mean, mean * relative)
    most = levels.round_up(mean * 2 + 1, levels.TOKEN_STEP)
    found = levels.best(need, most, Trade(int(batches), program))
    assert found == sorted(set(found)) and 1 <= len(found) <= 12
    assert all(x % levels.TOKEN_STEP == 0 for x in found)
    assert found[-1] <= most


def test_batches_that_need_all_the_same_have_one_level():
  for deviation in (0.0, 1e-9):
    need = Need(1000.0, deviation)
    assert levels.best(need, 1008, Trade(10_000, 1.0)) in ([1008], [1000])

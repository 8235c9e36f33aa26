"""What an order of many examples costs: its first batch, its rate, its room."""

import time
import tracemalloc

import numpy as np

from engine.loop.order import Order

SIZES = (10**9, 10**12)  # Examples.
_BATCH = 2048
_STEPS = 20  # Of each repeat.


def measure_order(
  examples: int, repeats: int
) -> list[tuple[str, str, list[float]]]:
  """Measures an order of so many examples.

  Returns:
    (what, unit, value of each repeat).
  """
  first, rates, room = [], [], []
  for repeat in range(repeats):
    begun = time.perf_counter()
    order = _order(examples, repeat)
    order.indices(0)
    first.append(1e3 * (time.perf_counter() - begun))
    steps = np.random.default_rng(repeat).integers(
      order.num_batches - 1, size=_STEPS
    )
    begun = time.perf_counter()
    for step in steps.tolist():
      order.indices(step)
    rates.append(_STEPS * _BATCH / (time.perf_counter() - begun))
    tracemalloc.start()
    _order(examples, repeat).indices(int(steps[0]))
    room.append(tracemalloc.get_traced_memory()[1] / 1e6)
    tracemalloc.stop()
  name = f"order of {examples:,}"
  return [
    (f"{name}: first batch of {_BATCH}", "ms", first),
    (f"{name}: indices/s", "indices/s", rates),
    (f"{name}: memory", "MB", room),
  ]


def _order(examples: int, seed: int) -> Order:
  return Order(
    num_examples=examples,
    batch_size=_BATCH,
    num_positions=2 * examples,
    seed=seed,
  )

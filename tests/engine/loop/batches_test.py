"""What a worker builds of a batch is its share of what one would build."""

import numpy as np
import pytest

from engine.loop.batches import Batches
from engine.loop.order import Order
from engine.task import EXAMPLES, LABELS, WEIGHTS, ArraySource, Source


def source(size=37):
  rng = np.random.default_rng(0)
  x = rng.normal(size=[size, 3]).astype(np.float32)
  return ArraySource({"x": x}, np.arange(size), rng.random(size, np.float32))


def batches(source, *, replicas=4, own=range(4)):
  order = Order(
    num_examples=len(source), batch_size=8, num_positions=50, seed=3
  )
  return Batches(
    source=source, order=order, batch_size=8, replicas=replicas, own=own
  )


@pytest.mark.parametrize("step", [0, 3, 6])
def test_the_parts_of_workers_are_the_whole(step):
  whole = batches(source())(step)
  parts = [
    batches(source(), own=range(first, first + 2))(step) for first in (0, 2)
  ]
  for name, array in whole.arrays.items():
    joined = np.concatenate([part.arrays[name] for part in parts])
    np.testing.assert_array_equal(joined, array)
  for part in parts:
    np.testing.assert_array_equal(part.indices, whole.indices)
    assert (part.total, part.layout) == (whole.total, whole.layout)


def test_the_total_is_that_of_all_weights_of_the_batch():
  for step in range(7):  # The last batch is short.
    made = batches(source())(step)
    assert made.total == pytest.approx(made.arrays[WEIGHTS].sum(dtype=float))
    assert (made.arrays[EXAMPLES] >= 0).sum() == len(made.indices)


class Own(Source):
  """Says nothing of weights beside its batches, as tasks of users may."""

  def __init__(self):
    self._inner = source()

  def __len__(self):
    return len(self._inner)

  def ids(self, indices):
    return self._inner.ids(indices)

  def layout(self, indices, *, batch_size, shares):
    return self._inner.layout(indices, batch_size=batch_size, shares=shares)

  def signature(self, shape):
    return self._inner.signature(shape)

  def scaled(self, shape, factor):
    return self._inner.scaled(shape, factor)

  def batch(self, indices, layout, block=slice(None)):
    return self._inner.batch(indices, layout, block)


def test_a_source_that_names_no_weights_has_those_of_its_batches():
  some = np.array([30, 2, 7])
  np.testing.assert_array_equal(Own().weights(some), source().weights(some))
  assert batches(Own())(6).total == batches(source())(6).total
  assert LABELS in batches(Own())(0).arrays

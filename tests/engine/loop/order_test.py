"""Which examples are in batch k is a pure function of (seed, k)."""

import numpy as np
import pytest

from engine.config import TrainConfig
from engine.loop import order as order_lib
from engine.loop.epochs import epoch_ends, positions
from engine.loop.order import Order


def make(num_examples=53, batch_size=8, epochs=3, seed=7):
  return Order(
    num_examples=num_examples,
    batch_size=batch_size,
    num_positions=num_examples * epochs,
    seed=seed,
  )


def test_each_epoch_has_each_example_once():
  order = make()
  stream = np.concatenate([order.indices(k) for k in range(order.num_batches)])
  assert len(stream) == 3 * 53
  epochs = stream.reshape(3, 53)
  for epoch in epochs:
    assert sorted(epoch) == list(range(53))
  assert not np.array_equal(epochs[0], epochs[1])


def test_batches_are_full_but_the_last():
  order = make()
  sizes = [len(order.indices(k)) for k in range(order.num_batches + 2)]
  assert sizes == [8] * 19 + [7, 0, 0]


def test_a_batch_does_not_depend_on_what_was_asked_before():
  forward, backward = make(), make()
  there = [forward.indices(k) for k in range(20)]
  back = [backward.indices(k) for k in reversed(range(20))][::-1]
  for a, b in zip(there, back, strict=True):
    np.testing.assert_array_equal(a, b)


def test_a_fraction_of_an_epoch_leaves_no_empty_batch():
  for epochs in (0.001, 0.3, 1.3, 2.5):
    train = TrainConfig(epochs=epochs)
    last = epoch_ends(train, 3668)[-1]
    order = Order(
      num_examples=3668,
      batch_size=32,
      num_positions=positions(train, 3668),
      seed=0,
    )
    assert order.num_batches == last
    assert len(order.indices(last - 1)) > 0


def test_seeds_give_other_orders_and_none_keeps_the_split():
  assert not np.array_equal(make(seed=1).indices(0), make(seed=2).indices(0))
  np.testing.assert_array_equal(make(seed=None).indices(1), np.arange(8, 16))


@pytest.mark.parametrize("step", [10, 10_000_000])
def test_seeking_makes_one_permutation_wherever_it_goes(step, monkeypatch):
  made = []
  real = order_lib.permutation
  monkeypatch.setattr(
    order_lib, "permutation", lambda *key: made.append(key) or real(*key)
  )
  order = make(num_examples=4096, batch_size=32, epochs=10**6, seed=3)
  assert len(order.indices(step)) == 32
  assert made == [(3, step * 32 // 4096, 4096)]


def test_the_order_is_pinned():
  """A run must resume in the same order under later NumPy versions."""
  np.testing.assert_array_equal(
    order_lib.permutation(0, 0, 10), PINNED, "the order of all runs changed"
  )


PINNED = [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]


def test_step_ten_million_asks_for_no_more_work_than_step_10(monkeypatch):
  """What is done is counted: the permutations, and what each sorts."""
  done = []
  real = order_lib.permutation

  def counted(seed, epoch, size):
    done.append(size)
    return real(seed, epoch, size)

  monkeypatch.setattr(order_lib, "permutation", counted)
  work = []
  for step in (10, 10_000_000):
    fresh = Order(num_examples=3668, batch_size=32, num_positions=2**40, seed=0)
    done.clear()
    assert len(fresh.indices(step)) == 32
    work.append(list(done))
  assert work == [[3668], [3668]]

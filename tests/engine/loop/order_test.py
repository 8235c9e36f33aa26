"""Which examples are in batch k is a pure function of (seed, k)."""

import numpy as np
import pytest

from engine.config import TrainConfig
from engine.errors import UserError
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


def cipher_of(size, seed=0, epoch=0):
  return order_lib.ciphered(np.arange(size), seed, epoch, size)


def test_the_cipher_gives_each_example_once():
  for size in [*range(1, 600), 4095, 4096, 4097, 65_535, 65_536, 65_537]:
    found = cipher_of(size, seed=size)
    assert np.array_equal(np.sort(found), np.arange(size)), size


@pytest.mark.slow
def test_the_cipher_gives_each_example_once_at_all_sizes():
  for size in range(1, 2**16 + 1):
    found = cipher_of(size)
    seen = np.zeros(size, bool)
    seen[found] = True
    assert seen.all(), size


def deciphered(index, seed, epoch, size):
  """The position of an index: the rounds backwards, one number at a time."""
  keys = np.random.Philox(key=[seed, epoch]).random_raw(8).tolist()
  base, mask = 1, 2**64 - 1
  while base * base < size:
    base *= 2
  low, high = base // 2, base
  while low < high:
    half = (low + high) // 2
    low, high = (low, half) if half * half >= size else (half + 1, high)
  base = low

  def mixed(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    return x ^ (x >> 31)

  while True:
    high, low = divmod(index, base)
    for key in reversed(keys):
      high, low = (low - mixed((high + key) & mask)) % base, high
    index = high * base + low
    if index < size:
      return index


@pytest.mark.parametrize(
  "count", [2_000, pytest.param(10**6, marks=pytest.mark.slow)]
)
def test_the_cipher_has_an_inverse_at_random_sizes(count):
  rng = np.random.default_rng(count)
  for _ in range(count):
    size = int(2 ** rng.uniform(0, 62))
    place = int(rng.integers(size))
    seed, epoch = rng.integers(2**40, size=2).tolist()
    [index] = order_lib.ciphered(np.array([place]), seed, epoch, size)
    assert 0 <= index < size
    assert deciphered(int(index), seed, epoch, size) == place


def orders(size, kind):
  for seed in range(3):
    for epoch in range(3):
      make = order_lib.permutation if kind == "sort" else cipher_of
      args = (seed, epoch, size) if kind == "sort" else (size, seed, epoch)
      yield make(*args)


@pytest.mark.parametrize("kind", ["sort", "cipher"])
def test_orders_are_like_random_ones(kind):
  """The sort and the cipher meet the same bounds, of 4 deviations."""
  size = 2**16
  found = list(orders(size, kind))
  bound = 4 / size**0.5
  for i, one in enumerate(found):
    for lag in (1, 2, 3, 32):
      assert abs(np.corrcoef(one[:-lag], one[lag:])[0, 1]) < bound
    for other in [np.arange(size), *found[:i]]:
      assert abs(np.corrcoef(one, other)[0, 1]) < bound
      assert np.sum(one == other) < 8  # A random order: 1 on average.
    # In which sixteenth of the split is each sixteenth of the order?
    table = np.histogram2d(np.arange(size), one, bins=16)[0]
    expected = size / 256
    chi_square = np.sum((table - expected) ** 2 / expected)
    assert abs(chi_square - 15**2) < 4 * (2 * 15**2) ** 0.5


def test_an_order_of_a_trillion_is_as_near_as_one_of_a_thousand(monkeypatch):
  monkeypatch.setattr(order_lib, "permutation", pytest.fail)  # It sorts.
  for size in (2**24 + 1, 10**9, 10**12):
    order = make(num_examples=size, batch_size=2048, epochs=3)
    assert order.kind == "cipher"
    near, far = order.indices(0), order.indices(2 * size // 2048 + 1)
    for batch in (near, far):
      assert len(np.unique(batch)) == 2048
      assert batch.min() >= 0 and batch.max() < size
    assert not np.array_equal(near, far)


def test_up_to_two_to_the_24_the_order_is_the_sort_of_older_runs():
  kinds = [make(num_examples=2**24 + more).kind for more in (0, 1)]
  assert kinds == ["sort", "cipher"]


def test_the_ciphers_order_is_pinned():
  np.testing.assert_array_equal(cipher_of(10), CIPHERED)
  [index] = order_lib.ciphered(np.array([5]), 1, 2, 10**12)
  assert index == 855671649285


def test_a_split_that_cannot_be_counted_is_refused():
  with pytest.raises(UserError, match="larger than an order can count"):
    make(num_examples=2**62 + 1)


CIPHERED = [9, 5, 6, 4, 8, 7, 0, 2, 1, 3]

"""Every pair gets its place, and no two share a token."""

import functools

import numpy as np
import pytest

from tasks.tokens import packing

BATCHINGS = ("pad", "bucket", "pack")


def lengths_of(seed, count=32, longest=103):
  return np.random.default_rng(seed).integers(7, longest + 1, count).tolist()


def arranged(lengths, *, split=None, batching="pack", batch_size=32, shares=1):
  split = tuple(lengths if split is None else split)
  return packing.arrange(
    lengths,
    batching=batching,
    width=128,
    batch_size=batch_size,
    shares=shares,
    packing=declared(split, batch_size, shares),
  )


PINNED = (
  112,
  (
    (1592, 18),
    (1656, 18),
    (1720, 19),
    (1776, 20),
    (1848, 20),
    (1968, 22),
    (2112, 25),
    (3464, 33),
  ),
)


@functools.cache
def declared(split, batch_size, shares):
  return packing.declare(
    np.array(split, int), batch_size=batch_size, shares=shares
  )


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize("shares", [1, 2, 4, 8])
@pytest.mark.parametrize("seed", range(5))
def test_pairs_do_not_overlap_and_fit(batching, shares, seed):
  lengths = lengths_of(seed)
  layout = arranged(lengths, batching=batching, shares=shares)
  count, tokens, rows, width, pairs = layout.shape
  assert count == shares and pairs * shares == 32
  stream = np.zeros([shares, tokens], int)
  table = np.zeros([shares, rows, width], int)
  places = layout.places
  there = np.argwhere(places.pairs >= 0)
  assert sorted(places.pairs[tuple(there.T)]) == list(range(32))
  for at in map(tuple, there):
    length, share = lengths[places.pairs[at]], at[0]
    assert places.lengths[at] == length
    start, row, column = (
      x[at] for x in (places.starts, places.rows, places.columns)
    )
    assert start + length <= tokens and column + length <= width
    stream[share, start : start + length] += 1
    table[share, row, column : column + length] += 1
  assert stream.max() == table.max() == 1
  assert layout.units == sum(lengths) == stream.sum() == table.sum()
  assert layout.capacity == shares * tokens


@pytest.mark.parametrize("shares", [1, 2, 4])
def test_a_packed_share_has_padding_and_holes_for_each_other(shares):
  """Without either, gradients of the other would leak (see `take`)."""
  for lengths in ([104] * 32, [8] * 32, lengths_of(0), [103] * 31):
    layout = arranged(lengths, shares=shares)
    _, tokens, rows, width, _ = layout.shape
    used = layout.places.lengths.sum(axis=1)
    assert len(used) == shares
    assert (used < tokens).all() and (used < rows * width).all()


def test_shares_hold_nearly_equal_numbers_of_tokens():
  lengths = np.array(lengths_of(3))
  members, dealt = packing.dealt_out(lengths, pairs=8, shares=4)
  np.testing.assert_array_equal(lengths[members], dealt)
  sums = dealt.sum(axis=1)
  assert max(sums) - min(sums) < 20
  assert (np.diff(dealt, axis=1) <= 0).all()


def test_dealing_in_rounds_is_as_even_as_the_rule_of_the_longest_time():
  """Within a tenth of a pair, at 32 pairs a share."""
  lengths = np.clip(np.random.default_rng(0).normal(53, 17, 2048), 7, 128)
  lengths = lengths.astype(int)
  _, dealt = packing.dealt_out(lengths, pairs=32, shares=64)
  sums = [0] * 64
  for length in sorted(lengths.tolist(), reverse=True):
    sums[sums.index(min(sums))] += length
  assert dealt.sum(axis=1).max() <= max(sums) + 5


def first_fit(lengths, width):
  """One pair after the other, each into the first row with room."""
  filled, places = [], []
  for length in lengths:
    row = next((r for r, n in enumerate(filled) if n + length <= width), -1)
    if row < 0:
      row = len(filled)
      filled.append(0)
    places.append((row, filled[row]))
    filled[row] += length
  return places


def test_pairs_go_into_the_first_row_that_has_room():
  rng = np.random.default_rng(0)
  for _ in range(50):
    width, slots = rng.integers(103, 160), rng.integers(1, 60)
    lengths = -np.sort(-rng.integers(7, 104, [5, slots]))
    rows, columns = packing.first_fit(lengths, width)
    for share in range(5):
      found = zip(rows[share].tolist(), columns[share].tolist(), strict=True)
      assert list(found) == first_fit(lengths[share].tolist(), width)


def test_a_split_of_one_share_has_the_shapes_of_older_runs():
  """Else their resumes would run other programs, and add up otherwise."""
  split = np.clip(np.random.default_rng(0).normal(53, 17, 5000), 7, 128)
  found = packing.declare(split.astype(int), batch_size=32, shares=1)
  assert (found.width, found.levels) == PINNED


@pytest.mark.parametrize("shares", [8, 64])
def test_many_shares_need_few_shapes_and_little_padding(shares):
  split = np.clip(np.random.default_rng(0).normal(53, 17, 20_000), 7, 128)
  split, rng = split.astype(int), np.random.default_rng(1)
  declared = packing.declare(split, batch_size=32 * shares, shares=shares)
  plans = [
    packing.arrange(
      rng.choice(split, 32 * shares),
      batching="pack",
      width=128,
      batch_size=32 * shares,
      shares=shares,
      packing=declared,
    )
    for _ in range(200)
  ]
  waste = 1 - sum(x.units for x in plans) / sum(x.capacity for x in plans)
  assert waste < 0.03
  assert len({plan.shape for plan in plans}) <= 7


@pytest.mark.parametrize("shares", [1, 4])
def test_declared_shapes_cover_any_batch(shares):
  """Nothing overflows: not even a batch of the longest pairs."""
  split = np.clip(np.random.default_rng(0).normal(53, 13, 3668), 20, 103)
  split = split.astype(int)
  worst = np.sort(split)[-32:].tolist()
  best = np.sort(split)[:32].tolist()
  for lengths in (worst, best, [int(split.max())] * 32, [20]):
    layout = arranged(lengths, split=split, shares=shares)
    assert layout.units == sum(lengths)


def test_packing_wastes_two_percent_and_declares_few_shapes():
  """Lengths as MRPC has them."""
  rng = np.random.default_rng(0)
  split = np.clip(rng.normal(53, 13, 3668), 20, 103).astype(int)
  waste, shapes = {}, {}
  for batching in BATCHINGS:
    plans = [
      arranged(
        rng.choice(split, 32, replace=False).tolist(),
        split=split,
        batching=batching,
      )
      for _ in range(300)
    ]
    shapes[batching] = len({plan.shape for plan in plans})
    waste[batching] = 1 - sum(p.units for p in plans) / sum(
      p.capacity for p in plans
    )
  assert waste["pack"] <= 0.021
  assert waste["pack"] < waste["bucket"] < waste["pad"]
  assert shapes["pad"] == 1
  assert max(shapes.values()) <= 8


def test_a_split_of_few_batches_has_fewer_shapes():
  split = np.array(lengths_of(0, count=408))
  few = packing.declare(split, batch_size=32, shares=1)
  many = packing.declare(np.tile(split, 20), batch_size=32, shares=1)
  assert len(few.levels) < len(many.levels)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_an_empty_batch_has_a_shape(batching):
  layout = arranged([], batching=batching, batch_size=4, shares=2)
  assert layout.shape[0] == 2
  assert layout.units == 0

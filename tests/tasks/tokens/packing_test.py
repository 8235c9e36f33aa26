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
  for length, place in zip(lengths, layout.places, strict=True):
    assert place.token + length <= tokens and place.column + length <= width
    stream[place.share, place.token : place.token + length] += 1
    table[place.share, place.row, place.column : place.column + length] += 1
    assert place.slot < pairs
  assert stream.max() == table.max() == 1
  assert len({(p.share, p.slot) for p in layout.places}) == 32
  assert layout.units == sum(lengths) == stream.sum() == table.sum()
  assert layout.capacity == shares * tokens


@pytest.mark.parametrize("shares", [1, 2, 4])
def test_a_packed_share_has_padding_and_holes_for_each_other(shares):
  """Without either, gradients of the other would leak (see `take`)."""
  for lengths in ([104] * 32, [8] * 32, lengths_of(0), [103] * 31):
    layout = arranged(lengths, shares=shares)
    _, tokens, rows, width, _ = layout.shape
    for share in range(shares):
      places = zip(lengths, layout.places, strict=True)
      used = sum(n for n, place in places if place.share == share)
      assert used < tokens and used < rows * width


def test_shares_hold_nearly_equal_numbers_of_tokens():
  lengths = lengths_of(3)
  sums = [
    sum(lengths[i] for i in share)
    for share in packing.balanced(lengths, pairs=8, shares=4)
  ]
  assert max(sums) - min(sums) < 20


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

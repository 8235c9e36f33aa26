"""Every pair gets its place, and no two share a token."""

import numpy as np
import pytest

from tasks import packing


def lengths_of(seed, count=32, longest=103):
  return np.random.default_rng(seed).integers(7, longest + 1, count).tolist()


@pytest.mark.parametrize("batching", ["pad", "bucket", "pack"])
@pytest.mark.parametrize("replicas", [1, 2, 4, 3])
@pytest.mark.parametrize("seed", range(5))
def test_pairs_do_not_overlap_and_fit(batching, replicas, seed):
  lengths = lengths_of(seed)
  layout = packing.arrange(
    lengths, batching=batching, width=128, batch_size=32, shares=replicas
  )
  rows, width, slots = layout.shape
  assert rows % replicas == 0
  used = np.zeros([rows, width], int)
  taken = set()
  for length, place in zip(lengths, layout.places, strict=True):
    assert place.column + length <= width
    used[place.row, place.column : place.column + length] += 1
    assert place.slot < slots
    taken.add((place.row, place.slot))
  assert used.max() == 1
  assert len(taken) == len(lengths)
  assert layout.units == sum(lengths) == used.sum()
  assert layout.capacity == rows * width


def test_places_do_not_depend_on_replicas():
  plans = [
    packing.arrange(
      lengths_of(1), batching="pack", width=128, batch_size=32, shares=n
    )
    for n in (1, 2, 4, 8)
  ]
  assert len({plan.places for plan in plans}) == 1


def test_a_row_takes_no_more_pairs_than_it_has_slots():
  layout = packing.arrange(
    [3] * 20, batching="pack", width=128, batch_size=32, shares=1
  )
  assert max(place.slot for place in layout.places) == 7
  assert max(place.row for place in layout.places) == 2


def test_packing_wastes_least_and_declares_few_shapes():
  shapes = {}
  waste = {}
  rng = np.random.default_rng(0)
  batches = [
    np.clip(rng.normal(53, 13, 32), 20, 103).astype(int).tolist()
    for _ in range(100)
  ]
  for batching in ("pad", "bucket", "pack"):
    plans = [
      packing.arrange(
        batch, batching=batching, width=128, batch_size=32, shares=1
      )
      for batch in batches
    ]
    shapes[batching] = len({plan.shape for plan in plans})
    waste[batching] = 1 - sum(p.units for p in plans) / sum(
      p.capacity for p in plans
    )
  assert waste["pack"] < 0.15 < waste["bucket"] < waste["pad"]
  assert shapes["pad"] == 1
  assert max(shapes.values()) <= 4


def test_an_empty_batch_has_a_shape():
  for batching in ("pad", "bucket", "pack"):
    layout = packing.arrange(
      [], batching=batching, width=128, batch_size=4, shares=2
    )
    assert layout.shape[0] >= 2
    assert layout.units == 0

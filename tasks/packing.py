"""How pairs of different lengths lie in rows of one static shape.

Three ways, one format. `pad` gives each pair a row of the full width, `bucket`
a row as wide as the longest pair of the batch needs, `pack` lets several pairs
share a row. The model always sees which tokens belong together (`segments`),
so the three compute the same. Packing without cross-contamination follows
Krell et al., arXiv 2107.02027.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from engine.task import Layout
from tasks.config import Batching

PAIRS_PER_ROW = 8  # Slots of a packed row; a fuller row takes no more pairs.
ROW_STEP = 2  # Packed row counts are multiples: few shapes to compile.
WIDTH_STEP = 16  # Bucket widths are multiples: few shapes, aligned products.


@dataclasses.dataclass(frozen=True)
class Place:
  """Where one pair went: a row, its slot in it, its first token's column."""

  row: int
  slot: int
  column: int


def arrange(
  lengths: Sequence[int],
  *,
  batching: Batching,
  width: int,
  batch_size: int,
  shares: int,
) -> Layout:
  """Arranges the pairs of one global batch.

  Args:
    lengths: tokens of each pair, at most `width`.
    batching: the way.
    width: tokens of a full row.
    batch_size: pairs in a full batch.
    shares: the number of rows is a multiple of this.

  Returns:
    A layout of shape (rows, row width, slots in a row); `places` has one
    `Place` for each pair, in the order of `lengths`.
  """
  longest = max(lengths, default=1)
  assert longest <= width, (longest, width)
  if batching == "pack":
    places = first_fit_decreasing(lengths, width)
    rows = 1 + max((place.row for place in places), default=0)
    shape = (_round_up(rows, np.lcm(ROW_STEP, shares)), width, PAIRS_PER_ROW)
  else:
    places = tuple(Place(row, 0, 0) for row in range(len(lengths)))
    if batching == "bucket":
      width = min(width, _round_up(longest, WIDTH_STEP))
    shape = (_round_up(batch_size, shares), width, 1)
  return Layout(
    shape=shape,
    units=sum(lengths),
    capacity=shape[0] * shape[1],
    places=places,
  )


def first_fit_decreasing(
  lengths: Sequence[int], width: int
) -> tuple[Place, ...]:
  """Puts the longest pairs first, each into the first row that has room."""
  filled: list[int] = []
  counts: list[int] = []
  places: dict[int, Place] = {}
  for pair in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
    for row, used in enumerate(filled):
      if used + lengths[pair] <= width and counts[row] < PAIRS_PER_ROW:
        break
    else:
      row = len(filled)
      filled.append(0)
      counts.append(0)
    places[pair] = Place(row, counts[row], filled[row])
    filled[row] += lengths[pair]
    counts[row] += 1
  return tuple(places[pair] for pair in range(len(lengths)))


def _round_up(value: int, step: int) -> int:
  return int(-(-value // step) * step)

"""How pairs of different lengths lie in a batch of one static shape.

Three ways, one format. A batch is a stream of tokens, in which nearly all work
is done, and rows of one width, which exist for attention alone. `pad` gives
each pair a row of the full width, `bucket` one as wide as the longest pair of
the batch needs; both stream all of a row. `pack` streams real tokens only, and
lets pairs share rows. The model always sees which tokens belong together, so
the three compute the same. Packing without cross-contamination follows Krell
et al., arXiv 2107.02027; that only attention needs to know of rows is ours.

A batch is cut into shares, one for each replica (and each of its parts), that
know nothing of each other.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from engine.task import Layout
from tasks.config import Batching

WIDTH_STEP = 16  # Bucket widths are multiples: few shapes, aligned products.
TOKEN_STEP = 8  # Streams and packed rows are multiples.

# The declared streams: standard deviations above the mean that batches have.
# Of six levels, the last at 3, these leave the least padding under a normal
# distribution; a program costs seconds, so few batches have one. What is rarer
# than one batch in 700 has a level of its own.
_LEVELS = (-0.96, -0.26, 0.41, 0.99, 1.7, 3.0)
_RARE_LEVEL = 4.5
_FEW_BATCHES = 40  # In an epoch.
_SAMPLES = 64


@dataclasses.dataclass(frozen=True)
class Place:
  """Where one pair went.

  Attributes:
    share: that it belongs to.
    slot: which pair of the share it is.
    token: its first one in the stream of the share.
    row: of the share.
    column: of its first token in the row.
  """

  share: int
  slot: int
  token: int
  row: int
  column: int


@dataclasses.dataclass(frozen=True)
class Packing:
  """The declared shapes of `pack`, for the pairs of one split.

  Attributes:
    width: tokens of a row.
    levels: (tokens, rows) of a share, from small to large.
  """

  width: int
  levels: tuple[tuple[int, int], ...]


def declare(
  lengths: np.ndarray,
  *,
  batch_size: int,
  shares: int,
  total: int | None = None,
  longest: int | None = None,
) -> Packing:
  """Declares the shapes for batches that are drawn from a split.

  Args:
    lengths: int [pairs], tokens of the pairs of the split, or of a sample.
    batch_size: pairs in a full batch.
    shares: into which it is cut.
    total: pairs of the split, if there are others.
    longest: tokens of any of them, at most.
  """
  lengths = lengths if len(lengths) else np.ones(1, int)
  total, longest = total or len(lengths), longest or int(lengths.max())
  pairs = batch_size // shares
  mean, deviation = pairs * lengths.mean(), lengths.std() * pairs**0.5
  few = total < _FEW_BATCHES * batch_size
  # A share has a token of padding more (see `take`). The last holds any batch.
  chosen = (*(_LEVELS[-1:] if few else _LEVELS), _RARE_LEVEL)
  tokens = [mean + z * deviation for z in chosen]
  most = _round_up(pairs * longest + 1, TOKEN_STEP)
  sizes = sorted({min(most, _round_up(t + 1, TOKEN_STEP)) for t in tokens})
  width, usual, worst = _best_width(lengths, longest=longest, pairs=pairs)
  # What does not fit its level goes to the next: so the last has more rows.
  levels = [
    (size, min(pairs, math.ceil(size / width * usual)) + 1)
    for size in sizes[:-1]
  ]
  last = sizes[-1], min(pairs, math.ceil(sizes[-1] / width * worst) + 1) + 1
  return Packing(width, (*levels, last, (most, pairs + 1)))


def _best_width(
  lengths: np.ndarray, *, longest: int, pairs: int
) -> tuple[int, float, float]:
  """Finds the width at which attention, rows * width ** 2, is least.

  Returns:
    The width, and what the rows of samples can hold over what they do: for
    most samples, and at worst.
  """
  draws = (
    np.random.Philox(key=[0, i]).random_raw(pairs) for i in range(_SAMPLES)
  )
  samples = [lengths[draw % len(lengths)].tolist() for draw in draws]

  def ratios(width):
    places = (first_fit_decreasing(sample, width) for sample in samples)
    rows = [1 + max(row for row, _ in found) for found in places]
    return [r * width / sum(s) for r, s in zip(rows, samples, strict=True)]

  first = _round_up(longest, TOKEN_STEP)
  widths = range(first, first + first // 2 + 1, TOKEN_STEP)
  spread = {w: np.quantile(ratios(w), (0.97, 1.0)).tolist() for w in widths}
  width = min(widths, key=lambda w: w * spread[w][0])
  return width, *spread[width]


def arrange(
  lengths: Sequence[int],
  *,
  batching: Batching,
  width: int,
  batch_size: int,
  shares: int,
  packing: Packing | None = None,
) -> Layout:
  """Arranges the pairs of one global batch.

  Args:
    lengths: tokens of each pair, at most `width`.
    batching: the way.
    width: tokens of the longest pair that there can be.
    batch_size: pairs in a full batch.
    shares: into which it is cut; must divide `batch_size`.
    packing: the declared shapes of `pack`.

  Returns:
    A layout of shape (shares, tokens, rows, row width, pairs), all but the
    first of one share; `places` has one `Place` for each pair, in the order of
    `lengths`.
  """
  longest = max(lengths, default=1)
  assert longest <= width, (longest, width)
  pairs = batch_size // shares
  assert pairs * shares == batch_size >= len(lengths)
  if batching == "pack":
    assert packing is not None, "`pack` has declared shapes"
    places, tokens, rows = _pack(lengths, packing, pairs=pairs, shares=shares)
    width = packing.width
  else:
    if batching == "bucket":
      width = min(width, _round_up(longest, WIDTH_STEP))
    places = tuple(
      Place(i // pairs, i % pairs, i % pairs * width, i % pairs, 0)
      for i in range(len(lengths))
    )
    tokens, rows = pairs * width, pairs
  return Layout(
    shape=(shares, tokens, rows, width, pairs),
    units=sum(lengths),
    capacity=shares * tokens,
    places=places,
  )


def _pack(lengths, packing, *, pairs, shares):
  """Returns places, and the tokens and rows of the smallest shape that fits."""
  members = balanced(lengths, pairs=pairs, shares=shares)
  streams = [sum(lengths[i] for i in share) for share in members]
  rows = [
    first_fit_decreasing([lengths[i] for i in share], packing.width)
    for share in members
  ]
  need = max(1 + max((row for row, _ in r), default=0) for r in rows)
  size, declared = next(
    level
    for level in packing.levels
    if max(streams) < level[0]
    and need <= level[1]
    # A hole for the padding of the stream (see `take`).
    and max(streams) < level[1] * packing.width
  )
  places = {}
  for share, (indices, found) in enumerate(zip(members, rows, strict=True)):
    token = 0
    for slot, (i, (row, column)) in enumerate(zip(indices, found, strict=True)):
      places[i] = Place(share, slot, token, row, column)
      token += lengths[i]
  return tuple(places[i] for i in range(len(lengths))), size, declared


def balanced(
  lengths: Sequence[int], *, pairs: int, shares: int
) -> list[list[int]]:
  """Deals pairs out, the longest first, each to the emptiest share.

  That is Graham's rule of the longest processing time (SIAM J. Appl. Math. 17,
  1969), with a limit of `pairs` for each share.
  """
  members: list[list[int]] = [[] for _ in range(shares)]
  sums = [0] * shares
  for i in _longest_first(lengths):
    open_shares = [s for s in range(shares) if len(members[s]) < pairs]
    share = min(open_shares, key=lambda s: (sums[s], s))
    members[share].append(i)
    sums[share] += lengths[i]
  return members


def first_fit_decreasing(
  lengths: Sequence[int], width: int
) -> list[tuple[int, int]]:
  """Puts the longest pairs first, each into the first row that has room.

  Returns:
    Row and column of each pair.
  """
  filled: list[int] = []
  places = [(0, 0)] * len(lengths)
  for i in _longest_first(lengths):
    room = (r for r, used in enumerate(filled) if used + lengths[i] <= width)
    row = next(room, len(filled))
    if row == len(filled):
      filled.append(0)
    places[i] = row, filled[row]
    filled[row] += lengths[i]
  return places


def _longest_first(lengths: Sequence[int]) -> list[int]:
  return sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))


def _round_up(value: float, step: int) -> int:
  return int(-(-value // step) * step)

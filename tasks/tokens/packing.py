"""How pairs of different lengths lie in a batch of one static shape.

Three ways, one format. A batch is a stream of tokens, in which nearly all work
is done, and rows of one width, which exist for attention alone. `pad` gives
each pair a row of the full width, `bucket` one as wide as the longest pair of
the batch needs; both stream all of a row. `pack` streams real tokens only, and
lets pairs share rows. The model always sees which tokens belong together, so
the three compute the same. Packing without cross-contamination follows Krell
et al., arXiv 2107.02027; that only attention needs to know of rows is ours.

A batch is cut into shares, one for each replica (and each of its parts), that
know nothing of each other. Where a pair goes follows from lengths alone: all
workers plan the whole batch in NumPy, and build the arrays of their own shares.
"""

import dataclasses
import math

import numpy as np

from engine.task import Layout
from tasks.config import Batching
from tasks.tokens import levels
from tasks.tokens.columns import Lengths
from tasks.tokens.levels import TOKEN_STEP, round_up

WIDTH_STEP = 16  # Bucket widths are multiples: few shapes, aligned products.
_SAMPLES = 64  # Batches; fewer of many shares or pairs, which vary less.
_FEW_SAMPLES = 8
_MANY_PAIRS = 512  # In a share.


@dataclasses.dataclass(frozen=True)
class Places:
  """Where the pairs of a batch went, share by share, in the order of streams.

  Attributes:
    pairs: int [shares, slots], which pair of the batch has a slot; -1: none.
    lengths: int [shares, slots], its tokens; 0: none.
    starts: int [shares, slots], its first token in the stream of the share.
    rows: int [shares, slots], the row of the share that holds it.
    columns: int [shares, slots], of its first token in the row.
  """

  pairs: np.ndarray
  lengths: np.ndarray
  starts: np.ndarray
  rows: np.ndarray
  columns: np.ndarray


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
  lengths: np.ndarray | Lengths,
  *,
  batch_size: int,
  shares: int,
  total: int | None = None,
  longest: int | None = None,
  trade: levels.Trade | None = None,
) -> Packing:
  """Declares the shapes for batches that are drawn from a split.

  The fullest share says what a batch needs. Shares are dealt nearly equal
  sums, so these vary less, the more shares there are.

  Args:
    lengths: int [pairs], tokens of the pairs of the split, or of a sample.
    batch_size: pairs in a full batch.
    shares: into which it is cut.
    total: pairs of the split, if there are others.
    longest: tokens of any of them, at most.
    trade: what the levels are weighed by; None: they are the fixed ones.
  """
  lengths = lengths if len(lengths) else np.ones(1, int)
  total, longest = total or len(lengths), longest or int(lengths.max())
  pairs = batch_size // shares
  draws = _SAMPLES // max(shares, -(-pairs // _MANY_PAIRS))
  samples = [
    dealt_out(lengths[words % len(lengths)], pairs=pairs, shares=shares)[1]
    for words in _draws(batch_size, max(_FEW_SAMPLES, draws))
  ]
  fullest = np.array([sample.sum(axis=1).max() for sample in samples])
  uneven = fullest.mean() - np.sum(samples) / len(samples) / shares
  need = levels.Need(
    mean=pairs * lengths.mean() + uneven,
    deviation=lengths.std() * batch_size**0.5 / shares,
  )
  most = round_up(pairs * longest + 1, TOKEN_STEP)
  sizes = (
    levels.best(need, most, trade)
    if trade
    else levels.fixed(need, most, batches=total / batch_size)
  )
  width, usual, worst = _best_width(np.array(samples), fullest, longest)
  # What does not fit its level goes to the next: so the last has more rows.
  *smaller, largest = sizes
  declared = [
    (size, min(pairs, math.ceil(size / width * usual)) + 1) for size in smaller
  ]
  last = largest, min(pairs, math.ceil(largest / width * worst) + 1) + 1
  return Packing(width, (*declared, last, (most, pairs + 1)))


def _draws(size: int, count: int) -> list[np.ndarray]:
  return [np.random.Philox(key=[0, i]).random_raw(size) for i in range(count)]


def _best_width(
  samples: np.ndarray, fullest: np.ndarray, longest: int
) -> tuple[int, float, float]:
  """Finds the width at which attention, rows * width ** 2, is least.

  Args:
    samples: int [batches, shares, slots], lengths as `dealt_out` returns them.
    fullest: int [batches], tokens of the fullest share.
    longest: tokens of any pair, at most.

  Returns:
    The width, and what the rows of samples can hold over what they do: for
    most samples, and at worst.
  """
  batches, shares, slots = samples.shape
  flat = samples.reshape([-1, slots])

  def ratios(width):
    rows, _ = first_fit(flat, width)
    return (1 + rows.reshape([batches, -1]).max(axis=1)) * width / fullest

  first = round_up(longest, TOKEN_STEP)
  widths = range(first, first + first // 2 + 1, TOKEN_STEP)
  spread = {w: np.quantile(ratios(w), (0.97, 1.0)).tolist() for w in widths}
  width = min(widths, key=lambda w: w * spread[w][0])
  return width, *spread[width]


def arrange(
  lengths: np.ndarray,
  *,
  batching: Batching,
  width: int,
  batch_size: int,
  shares: int,
  packing: Packing | None = None,
) -> Layout:
  """Arranges the pairs of one global batch.

  Args:
    lengths: int [pairs], tokens of each, at most `width`.
    batching: the way.
    width: tokens of the longest pair that there can be.
    batch_size: pairs in a full batch.
    shares: into which it is cut; must divide `batch_size`.
    packing: the declared shapes of `pack`.

  Returns:
    A layout of shape (shares, tokens, rows, row width, pairs), all but the
    first of one share; `places` are `Places`.
  """
  lengths = np.asarray(lengths, np.int64)
  longest = int(lengths.max(initial=1))
  assert longest <= width, (longest, width)
  pairs = batch_size // shares
  assert pairs * shares == batch_size >= len(lengths)
  if batching == "pack":
    assert packing is not None, "`pack` has declared shapes"
    width = packing.width
    members, dealt = dealt_out(lengths, pairs=pairs, shares=shares)
    ends = np.cumsum(dealt, axis=1)
    row, column = first_fit(dealt, width)
    places = Places(members, dealt, ends - dealt, row, column)
    tokens, rows = _smallest(packing, ends[:, -1].max(), 1 + row.max())
  else:
    if batching == "bucket":
      width = min(width, round_up(longest, WIDTH_STEP))
    slot = np.arange(batch_size).reshape([shares, pairs])
    real = slot < len(lengths)
    padded = np.zeros(batch_size, np.int64)
    padded[: len(lengths)] = lengths
    row = np.broadcast_to(np.arange(pairs), slot.shape)
    places = Places(
      pairs=np.where(real, slot, -1),
      lengths=padded.reshape(slot.shape),
      starts=row * width,
      rows=row,
      columns=np.zeros_like(slot),
    )
    tokens, rows = pairs * width, pairs
  return Layout(
    shape=(shares, tokens, rows, width, pairs),
    units=int(lengths.sum()),
    capacity=shares * tokens,
    places=places,
  )


def _smallest(packing: Packing, stream: int, rows: int) -> tuple[int, int]:
  """Tokens and rows of the smallest level that holds the fullest share."""
  return next(
    (size, declared)
    for size, declared in packing.levels
    if stream < size
    and rows <= declared
    # A hole for the padding of the stream (see `take`).
    and stream < declared * packing.width
  )


def dealt_out(
  lengths: np.ndarray, *, pairs: int, shares: int
) -> tuple[np.ndarray, np.ndarray]:
  """Deals pairs out in rounds, the longest first, so that sums are even.

  In each round every share gets one pair, the emptiest share the longest: the
  rule of the longest processing time (Graham, SIAM J. Appl. Math. 17, 1969),
  for all shares at once.

  Returns:
    Which pair is in each slot of each share (-1: none), and its tokens (0), the
    longest first: int64 [shares, pairs] both.
  """
  order = np.argsort(-lengths.astype(np.int16), kind="stable")  # By radix.
  members = np.full([shares, pairs], -1)
  if shares == 1:
    members[0, : len(order)] = order
  else:
    sums = np.zeros(shares, np.int64)
    for slot, first in enumerate(range(0, len(order), shares)):
      block = order[first : first + shares]
      emptiest = np.argsort(sums, kind="stable")[: len(block)]
      members[emptiest, slot] = block
      sums[emptiest] += lengths[block]
  return members, np.append(lengths, 0)[members]


def first_fit(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
  """Puts each pair into the first row that has room, in all shares at once.

  Args:
    lengths: int [shares, slots], the longest first; 0: no pair.
    width: tokens of a row.

  Returns:
    Row and column of each pair, int64 [shares, slots] both; of no pair, those
    where it would not take room.
  """
  shares, slots = lengths.shape
  # All rows but one are more than half full.
  most = min(slots, 2 * int(lengths.sum(axis=1).max()) // width + 1)
  room = np.full([shares, most], width, np.int16)  # Small numbers: fast.
  each = np.arange(shares)
  row, column = np.zeros([2, slots, shares], np.int64)
  for slot, length in enumerate(lengths.T.astype(np.int16)):
    first = row[slot] = (room >= length[:, None]).argmax(axis=1)
    left = room[each, first]
    column[slot] = width - left
    room[each, first] = left - length
  return row.T, column.T

"""The pairs of a split, laid out in rows of a stream."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import UserError
from engine.task import (
  EXAMPLES,
  LABELS,
  WEIGHTS,
  Layout,
  Source,
  digest_of,
)
from tasks.config import Batching
from tasks.model import stream
from tasks.model.flops import Flops
from tasks.tokens import packing
from tasks.tokens.columns import Column
from tasks.tokens.encoded import EncodedPairs, spans
from tasks.tokens.levels import Trade
from tasks.tokens.on_demand import EncodedOnDemand
from tasks.tokens.store import Store

LONGEST = 2**12  # Tokens of a pair: names of its first tokens are multiples.


class PairSource(Source):
  """The encoded pairs of a split, laid out in rows."""

  def __init__(
    self,
    encoded: EncodedPairs | EncodedOnDemand | Store,
    labels: Sequence[float] | np.ndarray | Column | None,
    ids: Sequence[int | str] | np.ndarray | Column,
    *,
    weights: Sequence[float] | np.ndarray | Column | None = None,
    label_type: type[np.generic] = np.int32,
    tell: Callable[[int], str] | None = None,
    batching: Batching,
    width: int,
    flops: Callable[[np.ndarray], Flops],
    unread: Mapping[int, str] | None = None,
    digest: int | None = None,
    marks: Mapping[str, Any] | None = None,
    swapped: Callable[[], "PairSource"] | None = None,
  ):
    """Initializes the source.

    Args:
      encoded: the pairs as tokens.
      labels: a class or a score for each pair, if they are known.
      ids: a stable name for each pair.
      weights: of each pair; ones where they are not given.
      label_type: of the labels.
      tell: index of a pair -> its sentences.
      batching: how they lie in a batch.
      width: tokens of the longest pair that there can be.
      flops: lengths -> operations of a training step on each pair.
      unread: as `Source.unread`.
      digest: of all that the split holds; None: it is computed.
      marks: as `Source.marks`.
      swapped: lays out the same pairs in their other order.
    """
    self.encoded, self.unread = encoded, unread or {}
    self.marks = marks or {}
    self._swapped = swapped
    self._ids = ids.tolist() if isinstance(ids, np.ndarray) else ids
    self._tell = tell
    self._flops = flops
    self._digest = digest
    self._label_type = tf.as_dtype(label_type)
    if not isinstance(labels, Column):
      labels = np.zeros(len(encoded)) if labels is None else labels
      labels = np.array(labels, label_type)
    if not isinstance(weights, Column):
      weights = np.ones(len(encoded)) if weights is None else weights
      weights = np.array(weights, np.float32)
    self._labels, self._weights = labels, weights
    self._batching = batching
    self._width = width
    self._trade: Trade | None = None
    self._packing = functools.cache(self._declare)

  def __len__(self) -> int:
    return len(self.encoded)

  def ids(self, indices: np.ndarray) -> list[int | str]:
    if isinstance(self._ids, Column):
      return self._ids[indices].tolist()
    return [self._ids[i] for i in indices]

  def swapped(self) -> "PairSource":
    """Returns the same pairs, each in its other order.

    Raises:
      UserError: where they have no texts, or one sentence only.
    """
    if self._swapped is None:
      raise UserError(
        "`symmetric` needs texts, but these pairs are encoded: name the files "
        "that they were made of."
      )
    return self._swapped()

  def describe(self, indices: np.ndarray) -> list[str]:
    if self._tell is None:
      return super().describe(indices)
    return [self._tell(int(i)) for i in indices]

  def labels(self, indices: np.ndarray) -> np.ndarray:
    """Returns the labels of some pairs: int32 or float32 [n]."""
    return np.asarray(self._labels[indices])

  def sizes(self, indices: np.ndarray) -> np.ndarray:
    return self.encoded.lengths_at(indices)

  def digest(self) -> int:
    if self._digest is not None:
      return self._digest
    ids = self._ids
    return digest_of(
      np.arange(len(ids)) if isinstance(ids, range) else np.asarray(ids),
      np.asarray(self._labels),
      np.asarray(self._weights),
      np.array(self.encoded.digest()),
    )

  def choose_shapes(
    self, *, batch_size: int, shares: int, parts: int, program: float
  ) -> str:
    mean = float(self.encoded.sample.mean()) if len(self) else 1.0
    flops = float(self._flops(np.array([mean])).executed[0])
    if not flops or self._batching != "pack":
      return ""
    self._trade = Trade(parts, program / flops * mean)
    self._packing.cache_clear()
    levels = self._packing(batch_size=batch_size, shares=shares).levels
    worth = self._trade.program / (batch_size / shares * mean)
    return (
      f"streams of {', '.join(f'{tokens:,}' for tokens, _ in levels[:-1])} "
      f"tokens for {parts:,} batches, as compiling costs {worth:,.0f} of them"
    )

  def _declare(self, *, batch_size: int, shares: int) -> packing.Packing:
    return packing.declare(
      self.encoded.sample,
      batch_size=batch_size,
      shares=shares,
      total=len(self),
      longest=self.encoded.longest,
      trade=self._trade,
    )

  def layout(
    self, indices: np.ndarray, *, batch_size: int, shares: int
  ) -> Layout:
    lengths = self.sizes(indices)
    layout = packing.arrange(
      lengths,
      batching=self._batching,
      width=self._width,
      batch_size=batch_size,
      shares=shares,
      packing=self._packing(batch_size=batch_size, shares=shares),
    )
    model, executed = (float(each.sum()) for each in self._flops(lengths))
    return dataclasses.replace(layout, flops=model, executed_flops=executed)

  def signature(self, shape: tuple[int, ...]) -> dict[str, tf.TensorSpec]:
    shares, tokens, rows, width, pairs = shape
    each = [shares, pairs]
    return {
      "word_ids": tf.TensorSpec([shares, tokens], tf.int32),
      "places": tf.TensorSpec([*each, len(stream.Place._fields)], tf.int32),
      "table": tf.TensorSpec([shares, rows, width, 0], tf.int32),
      LABELS: tf.TensorSpec(each, self._label_type),
      WEIGHTS: tf.TensorSpec(each, tf.float32),
      EXAMPLES: tf.TensorSpec(each, tf.int64),
    }

  def scaled(self, shape: tuple[int, ...], factor: float) -> tuple[int, ...]:
    shares, tokens, rows, width, pairs = shape
    tokens, rows, pairs = (round(x * factor) for x in (tokens, rows, pairs))
    return shares, tokens, rows, width, pairs

  def weights(self, indices: np.ndarray) -> np.ndarray:
    return self._weights[indices]

  def batch(
    self, indices: np.ndarray, layout: Layout, block: slice = slice(None)
  ) -> dict[str, np.ndarray]:
    """Builds what a device needs to know of pairs; see `stream.expanded`."""
    places: packing.Places = layout.places
    pair = places.pairs[block]
    shares, slots = pair.shape
    batch = {
      name: np.zeros([shares, *spec.shape[1:]], spec.dtype.as_numpy_dtype)
      for name, spec in self.signature(layout.shape).items()
    }
    _, tokens, _, width, _ = layout.shape
    starts, lengths = places.starts[block], places.lengths[block]
    there = pair >= 0
    real = indices[pair[there]]
    encoded = self.encoded.pick(real)
    # The stream of a share is its pairs in the order of their slots.
    first = starts + tokens * np.arange(shares)[:, None]
    token = spans(first[there], lengths[there])
    batch["word_ids"].reshape(-1)[token] = encoded.ids
    seconds = np.zeros_like(lengths)
    seconds[there] = encoded.first
    place = places.rows[block] * width + places.columns[block]
    nowhere = 2**30  # Behind all tokens and places.
    place = np.where(there, place, nowhere)
    batch["places"][:] = np.stack(
      stream.Place(
        name=pair * LONGEST,
        start=np.where(there, starts, nowhere),
        length=lengths,
        second=seconds,
        place=place,
        by_place=np.argsort(place, axis=1, kind="stable"),
      ),
      axis=-1,
    )
    batch[LABELS][there] = self._labels[real]
    batch[WEIGHTS][there] = self._weights[real]
    batch[EXAMPLES][:] = -1
    batch[EXAMPLES][there] = real
    return batch

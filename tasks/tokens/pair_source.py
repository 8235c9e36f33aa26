"""The pairs of a split, laid out in rows of a stream."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from engine.task import (
  EXAMPLES,
  LABELS,
  WEIGHTS,
  Layout,
  Source,
  digest_of,
)
from tasks.config import Batching
from tasks.model.flops import Flops
from tasks.tokens import packing
from tasks.tokens.encoded import EncodedPairs
from tasks.tokens.on_demand import EncodedOnDemand

_LONGEST = 2**12  # Tokens of a pair: names of tokens in a batch are multiples.


class PairSource(Source):
  """The encoded pairs of a split, laid out in rows."""

  def __init__(
    self,
    encoded: EncodedPairs | EncodedOnDemand,
    labels: Sequence[float] | np.ndarray | None,
    ids: Sequence[int | str] | np.ndarray,
    *,
    weights: Sequence[float] | np.ndarray | None = None,
    label_type: type[np.generic] = np.int32,
    tell: Callable[[int], str] | None = None,
    batching: Batching,
    width: int,
    flops: Callable[[np.ndarray], Flops],
    unread: Mapping[int, str] | None = None,
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
    """
    self.encoded, self.unread = encoded, unread or {}
    self._ids = ids.tolist() if isinstance(ids, np.ndarray) else ids
    self._tell = tell
    self._flops = flops
    self._labels = np.array(
      np.zeros(len(encoded)) if labels is None else labels, label_type
    )
    self._weights = np.array(
      np.ones(len(encoded)) if weights is None else weights, np.float32
    )
    self._batching = batching
    self._width = width
    self._packing = functools.cache(
      functools.partial(
        packing.declare,
        encoded.sample,
        total=len(encoded),
        longest=encoded.longest,
      )
    )

  def __len__(self) -> int:
    return len(self.encoded)

  def ids(self, indices: np.ndarray) -> list[int | str]:
    return [self._ids[i] for i in indices]

  def describe(self, indices: np.ndarray) -> list[str]:
    if self._tell is None:
      return super().describe(indices)
    return [self._tell(int(i)) for i in indices]

  def sizes(self, indices: np.ndarray) -> np.ndarray:
    return self.encoded.lengths_at(indices)

  def digest(self) -> int:
    return digest_of(
      np.asarray(self._ids),
      self._labels,
      self._weights,
      np.array(self.encoded.digest()),
    )

  def layout(
    self, indices: np.ndarray, *, batch_size: int, shares: int
  ) -> Layout:
    lengths = self.sizes(indices)
    layout = packing.arrange(
      lengths.tolist(),
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
    stream = tf.TensorSpec([shares, tokens], tf.int32)
    table = tf.TensorSpec([shares, rows, width], tf.int32)
    each = [shares, pairs]
    return {
      "word_ids": stream,
      "type_ids": stream,
      "positions": stream,
      "names": stream,
      "slots": stream,
      "rows": table,
      "segments": table,
      "firsts": tf.TensorSpec(each, tf.int32),
      LABELS: tf.TensorSpec(each, self._labels.dtype),
      WEIGHTS: tf.TensorSpec(each, tf.float32),
      EXAMPLES: tf.TensorSpec(each, tf.int64),
    }

  def scaled(self, shape: tuple[int, ...], factor: float) -> tuple[int, ...]:
    shares, tokens, rows, width, pairs = shape
    tokens, rows, pairs = (round(x * factor) for x in (tokens, rows, pairs))
    return shares, tokens, rows, width, pairs

  def batch(self, indices: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
    batch = {
      name: np.zeros(spec.shape, spec.dtype.as_numpy_dtype)
      for name, spec in self.signature(layout.shape).items()
    }
    shares, tokens, rows, width, _ = layout.shape
    batch[EXAMPLES] -= 1
    batch["names"] -= 1
    batch["rows"] -= 1
    batch["slots"] -= 1
    pairs = self.encoded.pick(indices)
    for k, (i, place) in enumerate(zip(indices, layout.places, strict=True)):
      start, end = pairs.starts[k : k + 2]
      length = end - start
      token = np.arange(place.token, place.token + length)
      stream = place.share, slice(place.token, place.token + length)
      row = place.share, place.row, slice(place.column, place.column + length)
      slot = place.share, place.slot
      position = np.arange(length)
      batch["word_ids"][stream] = pairs.ids[start:end]
      batch["positions"][stream] = position
      batch["type_ids"][stream] = position >= pairs.first[k]
      batch["names"][stream] = k * _LONGEST + position
      batch["slots"][stream] = place.row * width + place.column + position
      batch["rows"][row] = token
      batch["segments"][row] = place.slot + 1
      batch["firsts"][slot] = place.token
      batch[LABELS][slot] = self._labels[i]
      batch[WEIGHTS][slot] = self._weights[i]
      batch[EXAMPLES][slot] = i
    for share in range(shares):
      _join_padding(batch["rows"][share].reshape(-1), batch["slots"][share])
    return batch


def _join_padding(rows: np.ndarray, slots: np.ndarray) -> None:
  """Lets tokens that are padding and places that hold none name each other.

  So that what comes back from attention is 0 for both (see `fused.take`).

  Args:
    rows: int32 [rows * width], the token of each place, or -1; is changed.
    slots: int32 [tokens], the place of each token, or -1; is changed.
  """
  holes, padding = np.flatnonzero(rows < 0), np.flatnonzero(slots < 0)
  assert (len(holes) > 0) == (len(padding) > 0)
  if len(holes):
    rows[holes] = np.resize(padding, len(holes))
    slots[padding] = np.resize(holes, len(padding))

"""The examples of a split: random access, and batches of static shapes."""

import abc
import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import UserError, quoted

# Names in a batch that the engine reads; all others are the task's features.
LABELS, WEIGHTS, EXAMPLES = "labels", "weights", "examples"
TOTAL = "total"  # Sum of the weights of the global batch, from the engine.
_WHOLE = slice(None)


@dataclasses.dataclass(frozen=True)
class Layout:
  """How some examples lie in one batch of a declared static shape.

  Attributes:
    shape: identifies the declared shape; `shape[0]` is the length of all
      arrays, which the replicas share. Equal shapes run one program.
    units: real units of work (tokens; or examples) that the batch holds.
    capacity: units that the shape could hold; the rest is padding.
    places: the source's own notes on where each example went.
    flops: floating-point operations of a training step on the real units,
      forward and backward; 0 where the task does not count them.
    executed_flops: of these, what the task's model executes; 0: not counted.
  """

  shape: tuple[int, ...]
  units: int
  capacity: int
  places: Any = None
  flops: float = 0.0
  executed_flops: float = 0.0


class Source(abc.ABC):
  """Random access to the examples of one split.

  Attributes:
    unread: rows or lines, of those that the examples come from, which could
      not be read: number, from 0 -> what is wrong, of the first at least. The
      ids of the examples are then such numbers too.
    marks: name -> (indices, int64 [n], of examples that a metric had better be
      read without; of each a word on why).
  """

  unread: Mapping[int, str] = MappingProxyType({})
  marks: Mapping[str, tuple[np.ndarray, Sequence[str]]] = MappingProxyType({})

  @abc.abstractmethod
  def __len__(self) -> int:
    """Number of examples."""

  @abc.abstractmethod
  def ids(self, indices: np.ndarray) -> list[Any]:
    """Stable ids of the examples at `indices`, for logs and digests."""

  def digest(self) -> int:
    """32 bits of all that the examples hold: workers compare it."""
    return digest_of(np.array(repr(self.ids(np.arange(len(self))))))

  def describe(self, indices: np.ndarray) -> list[str]:
    """A line about each example, for reports; by default its id."""
    return [str(x) for x in self.ids(indices)]

  def sizes(self, indices: np.ndarray) -> np.ndarray:
    """Units of work in each example, int64 [n]; by default 1."""
    return np.ones(len(indices), np.int64)

  def weights(self, indices: np.ndarray) -> np.ndarray:
    """What `batch` weighs some examples with, float32 [n].

    By default they are batched for that: say it where you know it.
    """
    layout = self.layout(indices, batch_size=len(indices), shares=1)
    batch = self.batch(indices, layout)
    there = batch[EXAMPLES] >= 0
    of = dict(zip(batch[EXAMPLES][there], batch[WEIGHTS][there], strict=True))
    return np.array([of[i] for i in indices], np.float32)

  def choose_shapes(
    self, *, batch_size: int, shares: int, parts: int, program: float
  ) -> str:
    """Is told what a program is worth, before batches are planned.

    Each shape is compiled: where a source can have more of them or fewer, they
    should be as many as pay. By default nothing follows.

    Args:
      batch_size: as `layout` takes it.
      shares: likewise.
      parts: shares that one device will compute, one after the other.
      program: floating-point operations of training that a device could do in
        the time that a program takes to compile.

    Returns:
      What was chosen and why, for a line; "" if nothing was.
    """
    del batch_size, shares, parts, program
    return ""

  @abc.abstractmethod
  def layout(
    self, indices: np.ndarray, *, batch_size: int, shares: int
  ) -> Layout:
    """Plans one batch.

    Args:
      indices: int64 [n], the examples, n <= batch_size; fewer in a last batch.
      batch_size: examples in a full global batch.
      shares: the length of all arrays must be a multiple of this.
    """

  @abc.abstractmethod
  def signature(self, shape: tuple[int, ...]) -> dict[str, tf.TensorSpec]:
    """Name -> global spec of each array of a batch of this shape."""

  @abc.abstractmethod
  def scaled(self, shape: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Returns the shape of batches that are `factor` times as large."""

  def examples(self, shape: tuple[int, ...]) -> int:
    """Returns how many examples a batch of this shape can hold."""
    return self.signature(shape)[WEIGHTS].shape.num_elements()

  @abc.abstractmethod
  def batch(
    self, indices: np.ndarray, layout: Layout, block: slice = _WHOLE
  ) -> dict[str, np.ndarray]:
    """Builds the arrays of one global batch, or of a block of it.

    Beside the features it holds `labels`, float32 `weights` (0 where there is
    no example) and int64 `examples` (the index in the split, or -1), all three
    of one shape.

    Args:
      indices: int64 [n], all examples of the batch.
      layout: of all of them.
      block: of the `layout.shape[0]` entries of the arrays, those that this
        worker needs; what it costs should follow from them alone.
    """


class ArraySource(Source):
  """Examples that lie in arrays: one row each, padded to the batch size."""

  def __init__(
    self, features: Mapping[str, np.ndarray], labels: np.ndarray, weights=None
  ):
    """Initializes the source.

    Args:
      features: name -> array [examples, ...].
      labels: array [examples, ...].
      weights: float array [examples]; ones where it is not given.
    """
    if weights is None:
      weights = np.ones(len(labels), np.float32)
    self._arrays = {**features, LABELS: labels, WEIGHTS: weights}
    self._size = len(labels)

  @classmethod
  def of_dataset(cls, dataset: tf.data.Dataset) -> "ArraySource":
    """Reads a finite dataset once; what it shuffles is then fixed.

    Args:
      dataset: of (features, labels), or (features, labels, weights), of one
        example each: `unbatch` it first. Features are a mapping, or one tensor,
        which is then called `x`. All examples have the shapes of the first.

    Raises:
      UserError: where it has no end, no example, or other elements.
    """
    if not isinstance(dataset, tf.data.Dataset):
      raise UserError(
        f"{quoted(dataset)} is no tf.data.Dataset: give one of (features, "
        "labels)."
      )
    parts = tf.nest.flatten(dataset.element_spec)
    if all(x.shape.rank and x.shape[0] is None for x in parts):
      raise UserError(
        f"The dataset has batches ({quoted(dataset.element_spec)}), but must "
        "have one example in each element: unbatch() it, or tell their shapes "
        "by tf.ensure_shape."
      )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
      raise UserError(
        "The dataset has no end: give it one by take(n), and no repeat()."
      )
    examples = list(dataset.as_numpy_iterator())
    shown = quoted(dataset.element_spec)
    if not (examples and isinstance(examples[0], tuple)):
      raise UserError(
        f"The dataset has {len(examples)} elements of {shown}, but must have "
        "some of (features, labels), of one example each."
      )
    try:
      features, *rest = tf.nest.map_structure(
        lambda *each: np.stack(each), *examples
      )
    except ValueError as error:
      raise UserError(
        f"The dataset has elements of different shapes ({shown}): pad them."
      ) from error
    named = features if isinstance(features, Mapping) else {"x": features}
    return cls(named, *rest)

  def __len__(self) -> int:
    return self._size

  def ids(self, indices: np.ndarray) -> list[int]:
    return [int(i) for i in indices]

  def digest(self) -> int:
    return digest_of(*self._arrays.values())

  def layout(
    self, indices: np.ndarray, *, batch_size: int, shares: int
  ) -> Layout:
    return Layout(shape=(batch_size,), units=len(indices), capacity=batch_size)

  def signature(self, shape: tuple[int, ...]) -> dict[str, tf.TensorSpec]:
    spec = {
      name: tf.TensorSpec(shape + array.shape[1:], array.dtype)
      for name, array in self._arrays.items()
    }
    return {**spec, EXAMPLES: tf.TensorSpec(shape, tf.int64)}

  def scaled(self, shape: tuple[int, ...], factor: float) -> tuple[int, ...]:
    return (round(shape[0] * factor),)

  def weights(self, indices: np.ndarray) -> np.ndarray:
    return self._arrays[WEIGHTS][indices]

  def batch(
    self, indices: np.ndarray, layout: Layout, block: slice = _WHOLE
  ) -> dict[str, np.ndarray]:
    missing = layout.shape[0] - len(indices)
    examples = np.append(indices, np.full(missing, -1)).astype(np.int64)[block]
    there = examples >= 0
    batch = {EXAMPLES: examples}
    for name, array in self._arrays.items():
      batch[name] = np.zeros((len(examples), *array.shape[1:]), array.dtype)
      batch[name][there] = array[examples[there]]
    return batch


def digest_of(*arrays: np.ndarray) -> int:
  """Cheap digest of the values of arrays: 32 bits."""
  digest = 0
  for array in arrays:
    digest = zlib.crc32(np.ascontiguousarray(array).data, digest)
  return digest


def columns(batch: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
  """Splits the named entries off a batch: (features, *entries)."""
  rest = {name: value for name, value in batch.items() if name not in names}
  return (rest, *(batch[name] for name in names))

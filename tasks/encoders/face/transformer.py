"""Families that are a `Transformer`: config and names of weights, no more."""

import abc
import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import tf_keras

from tasks.encoders.face.dense import DenseTransformer
from tasks.encoders.face.family import FaceFiles
from tasks.encoders.face.weights import Weight, values_of
from tasks.model.flops import Flops
from tasks.model.transformer import Architecture, Transformer

# Our parts, and how families that grew from BERT call them.
BERT_NAMES: Mapping[str, str] = {
  "word": "embeddings.word_embeddings",
  "position": "embeddings.position_embeddings",
  "type": "embeddings.token_type_embeddings",
  "embedding_norm": "embeddings.LayerNorm",
  "blocks.*.query": "encoder.layer.*.attention.self.query",
  "blocks.*.key": "encoder.layer.*.attention.self.key",
  "blocks.*.value": "encoder.layer.*.attention.self.value",
  "blocks.*.attention_output": "encoder.layer.*.attention.output.dense",
  "blocks.*.attention_norm": "encoder.layer.*.attention.output.LayerNorm",
  "blocks.*.intermediate": "encoder.layer.*.intermediate.dense",
  "blocks.*.output_": "encoder.layer.*.output.dense",
  "blocks.*.output_norm": "encoder.layer.*.output.LayerNorm",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerFiles(FaceFiles[Transformer], abc.ABC):
  """A family whose encoder is a `Transformer`.

  Attributes:
    parts: our parts -> theirs, with a star for the number of a block.
    poolers: names of the pooler; the first that is stored counts, and a
      classifier has the first.
  """

  parts: ClassVar[Mapping[str, str]]
  poolers: ClassVar[tuple[str, ...]]

  @property
  @abc.abstractmethod
  def shape(self) -> Architecture:
    """What the encoder is."""

  @property
  def positions(self) -> int:
    return self.shape.positions - self.shape.first_position

  @property
  def types(self) -> int | None:
    return self.shape.types or None

  def build(self, *, dropout: float) -> Transformer:
    return Transformer(self.shape, dropout=dropout)

  def flops(self, lengths: np.ndarray, *, classes: int) -> Flops:
    shape, found = self.shape, super().flops(lengths, classes=classes)
    if shape.embedding == shape.hidden:
      return found
    projected = 3 * 2 * shape.embedding * shape.hidden * np.asarray(lengths)
    return Flops(*(count + projected for count in found))

  @functools.cached_property
  def _pooler(self) -> str:
    """Name of the pooler that is stored, or the first."""
    stored = self.stored
    found = (x for x in self.poolers if stored and f"{x}.weight" in stored)
    return next(found, self.poolers[0])

  def weights(self) -> tuple[Weight, ...]:
    return tuple(listed(self.shape, self.parts, self._pooler))

  def exported(self) -> tuple[Weight, ...]:
    return tuple(listed(self.shape, self.parts, self.poolers[0]))

  def dense(self, encoder: Transformer) -> tf_keras.Model:
    return DenseTransformer(encoder, self.weights())


def listed(
  shape: Architecture, parts: Mapping[str, str], pooler: str
) -> Iterator[Weight]:
  """Yields the weights of a `Transformer`, in the order of its variables.

  Args:
    shape: what it is.
    parts: as `TransformerFiles` has them.
    pooler: their name of it.
  """

  def part(kind, path, *shapes):
    name = parts[re.sub(r"\d+", "*", path)]
    number = re.search(r"\d+", path)
    name = name.replace("*", number[0]) if number else name
    return values_of(kind, path, name, *shapes)

  hidden, inner, row = shape.hidden, shape.inner, shape.embedding
  product = ((hidden, hidden), (hidden,))
  yield from part("table", "word", (shape.words, row))
  yield from part("table", "position", (shape.positions, row))
  if shape.types:
    yield from part("table", "type", (shape.types, row))
  yield from part("norm", "embedding_norm", (row,), (row,))
  if row != hidden:
    yield from part("dense", "projection", (row, hidden), (hidden,))
  if shape.buckets:
    yield from part("table", "distances", (shape.buckets, shape.heads))
  norm = ((hidden,), (hidden,))
  for i in range(shape.layers):
    block = f"blocks.{i}"
    for name in ("query", "key", "value", "attention_output"):
      yield from part("dense", f"{block}.{name}", *product)
    yield from part("norm", f"{block}.attention_norm", *norm)
    yield from part("dense", f"{block}.intermediate", (hidden, inner), (inner,))
    yield from part("dense", f"{block}.output_", (inner, hidden), (hidden,))
    yield from part("norm", f"{block}.output_norm", *norm)
  yield from values_of("dense", "pooler", pooler, *product, optional=True)

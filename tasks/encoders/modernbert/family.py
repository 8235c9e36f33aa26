"""ModernBERT as Hugging Face's directories have it."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import tf_keras

from tasks.encoders.face.family import FaceFiles
from tasks.encoders.face.weights import Weight, values_of
from tasks.encoders.modernbert.config import ModernBertShape
from tasks.encoders.modernbert.dense import DenseModernBert
from tasks.encoders.modernbert.encoder import ModernBertEncoder
from tasks.model.flops import Flops, training_flops


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModernBertFiles(FaceFiles[ModernBertEncoder]):
  """A directory of a ModernBERT."""

  kinds = ("modernbert",)
  prefix = "model."
  readout = "classifier"
  classifier = "ModernBertForSequenceClassification"
  rates = (
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "classifier_dropout",
  )

  @functools.cached_property
  def shape(self) -> ModernBertShape:
    """What the encoder is."""
    return ModernBertShape.of(self.stated)

  def check_sizes(self) -> None:
    assert self.shape

  @property
  def vocabulary_size(self) -> int:
    return self.shape.words

  @property
  def positions(self) -> int:
    return self.shape.positions

  @property
  def types(self) -> None:
    """Sentences are told apart by what stands between them."""
    return

  @property
  def layers(self) -> int:
    return self.shape.layers

  @property
  def deviation(self) -> float:
    return self.shape.deviation

  def build(self, *, dropout: float) -> ModernBertEncoder:
    return ModernBertEncoder(self.shape, dropout=dropout)

  def flops(self, lengths: np.ndarray, *, classes: int) -> Flops:
    shape = self.shape
    found = training_flops(
      hidden=shape.hidden,
      inner=shape.inner,
      layers=shape.layers,
      lengths=lengths,
      classes=classes,
      gated=True,
    )
    return found._replace(executed=found.model) if shape.mean else found

  def weights(self) -> tuple[Weight, ...]:
    return tuple(_listed(self.shape))

  def dense(self, encoder: ModernBertEncoder) -> tf_keras.Model:
    return DenseModernBert(encoder, self.weights())


def _listed(shape: ModernBertShape) -> Iterator[Weight]:
  """Yields the weights, in the order of the encoder's variables."""
  hidden, inner = shape.hidden, shape.inner

  def norm(path, name, **more):
    sizes = ((hidden,),) * (2 if shape.shifts else 1)
    return values_of("norm", path, name, *sizes, **more)

  def dense(part, path, name, inputs, outputs, **more):
    sizes = ((inputs, outputs), (outputs,))[: 2 if part in shape.biased else 1]
    return values_of("dense", path, name, *sizes, **more)

  table = "embeddings.tok_embeddings"
  yield from values_of("table", "word", table, (shape.words, hidden))
  yield from norm("embedding_norm", "embeddings.norm")
  for i in range(shape.layers):
    ours, theirs = f"blocks.{i}", f"layers.{i}"
    if i:
      yield from norm(f"{ours}.attention_norm", f"{theirs}.attn_norm")
    for part, path, name, inputs, outputs in (
      ("attention", "qkv", "attn.Wqkv", hidden, 3 * hidden),
      ("attention", "attention_output", "attn.Wo", hidden, hidden),
      ("mlp", "gated", "mlp.Wi", hidden, 2 * inner),
      ("mlp", "output_", "mlp.Wo", inner, hidden),
    ):
      names = f"{ours}.{path}", f"{theirs}.{name}"
      yield from dense(part, *names, inputs, outputs)
    yield from norm(f"{ours}.output_norm", f"{theirs}.mlp_norm")
  yield from norm("final_norm", "final_norm")
  pooler = ("pooler", "pooler", "head.dense", hidden, hidden)
  yield from dense(*pooler, optional=True)
  yield from norm("pooler_norm", "head.norm", optional=True)

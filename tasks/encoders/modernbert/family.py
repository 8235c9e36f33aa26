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
from tasks.model.flops import Flops


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModernBertFiles(FaceFiles[ModernBertEncoder]):
  """A directory of a ModernBERT."""

  gated = True
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

  @property
  def types(self) -> None:
    """Sentences are told apart by what stands between them."""
    return

  def build(self, *, dropout: float) -> ModernBertEncoder:
    return ModernBertEncoder(self.shape, dropout=dropout)

  def flops(self, lengths: np.ndarray, *, classes: int) -> Flops:
    found = super().flops(lengths, classes=classes)
    return found._replace(executed=found.model) if self.shape.mean else found

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

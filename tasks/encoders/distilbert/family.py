"""DistilBERT as Hugging Face's directories have it."""

import dataclasses
import functools
from typing import ClassVar

from tasks.encoders.face import config
from tasks.encoders.face.transformer import TransformerFiles
from tasks.model.transformer import Architecture

_EPSILON = 1e-12  # No config says it.


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistilBertFiles(TransformerFiles):
  """A directory of a DistilBERT."""

  kinds = ("distilbert",)
  prefix = "distilbert."
  readout = "classifier"
  classifier = "DistilBertForSequenceClassification"
  rates = ("dropout", "attention_dropout", "seq_classif_dropout")
  poolers = ("pre_classifier",)
  parts: ClassVar = {
    "word": "embeddings.word_embeddings",
    "position": "embeddings.position_embeddings",
    "embedding_norm": "embeddings.LayerNorm",
    "blocks.*.query": "transformer.layer.*.attention.q_lin",
    "blocks.*.key": "transformer.layer.*.attention.k_lin",
    "blocks.*.value": "transformer.layer.*.attention.v_lin",
    "blocks.*.attention_output": "transformer.layer.*.attention.out_lin",
    "blocks.*.attention_norm": "transformer.layer.*.sa_layer_norm",
    "blocks.*.intermediate": "transformer.layer.*.ffn.lin1",
    "blocks.*.output_": "transformer.layer.*.ffn.lin2",
    "blocks.*.output_norm": "transformer.layer.*.output_layer_norm",
  }

  @functools.cached_property
  def shape(self) -> Architecture:
    said = self.stated
    hidden = said.whole("dim", config.SIZE)
    heads = said.whole("n_heads", config.LAYERS)
    said.divides("n_heads", heads, hidden)
    return Architecture(
      words=said.whole("vocab_size", config.WORDS),
      hidden=hidden,
      layers=said.whole("n_layers", config.LAYERS),
      heads=heads,
      inner=said.whole("hidden_dim", config.INNER),
      embedding=hidden,
      positions=said.whole("max_position_embeddings", config.POSITIONS),
      activation=said.one_of("activation", config.ACTIVATIONS),
      pooler="relu",
      epsilon=_EPSILON,
      deviation=said.real("initializer_range", config.DEVIATION),
    )

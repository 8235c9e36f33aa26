"""MPNet as Hugging Face's directories have it, and one that has a name."""

import dataclasses
import functools
from typing import ClassVar, Self

from tasks.encoders.face import config
from tasks.encoders.face.transformer import BERT_NAMES, TransformerFiles
from tasks.encoders.mpnet import pieces
from tasks.model.transformer import Architecture

_PADDING = 1  # Whatever a config says.
_ATTENTION = "encoder.layer.*.attention"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MPNetFiles(TransformerFiles):
  """A directory of an MPNet."""

  names = (pieces.NAME,)
  kinds = ("mpnet",)
  prefix = "mpnet."
  readout = "classifier.out_proj"
  classifier = "MPNetForSequenceClassification"
  rates = ("hidden_dropout_prob", "attention_probs_dropout_prob")
  poolers = ("classifier.dense", "pooler.dense")
  parts: ClassVar = {
    **BERT_NAMES,
    "distances": "encoder.relative_attention_bias",
    "blocks.*.query": f"{_ATTENTION}.attn.q",
    "blocks.*.key": f"{_ATTENTION}.attn.k",
    "blocks.*.value": f"{_ATTENTION}.attn.v",
    "blocks.*.attention_output": f"{_ATTENTION}.attn.o",
    "blocks.*.attention_norm": f"{_ATTENTION}.LayerNorm",
  }

  @classmethod
  def open(cls, encoder: str) -> Self | None:
    named = encoder == pieces.NAME
    return super().open(pieces.fetched() if named else encoder)

  @functools.cached_property
  def shape(self) -> Architecture:
    # Transformers computes with 32, whatever a config says.
    self.stated.only({"relative_attention_num_buckets": 32})
    return config.bert_like(
      self.stated, first_position=_PADDING + 1, buckets=32
    )

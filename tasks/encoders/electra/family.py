"""ELECTRA's discriminator as Hugging Face's directories have it."""

import dataclasses
import functools
from typing import ClassVar

from tasks.encoders.face import config
from tasks.encoders.face.transformer import BERT_NAMES, TransformerFiles
from tasks.model.transformer import Architecture


@dataclasses.dataclass(frozen=True, kw_only=True)
class ElectraFiles(TransformerFiles):
  """A directory of an ELECTRA."""

  kinds = ("electra",)
  prefix = "electra."
  readout = "classifier.out_proj"
  classifier = "ElectraForSequenceClassification"
  rates = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
  )
  poolers = ("classifier.dense",)
  parts: ClassVar = {**BERT_NAMES, "projection": "embeddings_project"}

  @functools.cached_property
  def shape(self) -> Architecture:
    return config.bert_like(
      self.stated,
      embedding=self.stated.whole("embedding_size", config.SIZE),
      types=self.stated.whole("type_vocab_size", config.TYPES),
      pooler="gelu",
    )

"""RoBERTa and its kin as Hugging Face's directories have them."""

import dataclasses
import functools
from typing import ClassVar

from tasks.encoders.face import config
from tasks.encoders.face.transformer import BERT_NAMES, TransformerFiles
from tasks.model.transformer import Architecture

# Of a `model_type`: what Transformers' classes begin with.
_CLASSES = {
  "roberta": "Roberta",
  "xlm-roberta": "XLMRoberta",
  "camembert": "Camembert",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobertaFiles(TransformerFiles):
  """A directory of a RoBERTa, an XLM-R or a CamemBERT.

  Transformers' own pooler, which few of them were trained with, serves where
  there is no classifier.
  """

  kinds = tuple(_CLASSES)
  prefix = "roberta."
  readout = "classifier.out_proj"
  rates = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
  )
  poolers = ("classifier.dense", "pooler.dense")
  parts: ClassVar = BERT_NAMES

  @functools.cached_property
  def shape(self) -> Architecture:
    padding = self.stated.whole("pad_token_id", config.PADDING)
    return config.bert_like(
      self.stated,
      first_position=padding + 1,
      types=self.stated.whole("type_vocab_size", config.TYPES),
      # Its own tokenizers tell no types; BERT's, which some have, do.
      typed=self.tokenizer.template.ends == 1,
    )

  @property
  def types(self) -> None:
    """Sentences are told apart by what stands between them."""
    return

  @property
  def architecture(self) -> str:
    kind = config.kind_of(self.stated, self.kinds)
    return f"{_CLASSES[kind or self.kinds[0]]}ForSequenceClassification"

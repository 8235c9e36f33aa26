"""Model Garden's encoder, for Keras `fit` and for Model Garden's trainer."""

import os
from typing import Any

from benchmarks.contenders.plan import DROPOUT, Plan


def encoder_config(plan: Plan) -> Any:
  """Returns Model Garden's config of the encoder.

  Raises:
    UserError: where it is no BERT in a directory of Model Garden's layout.
  """
  from tasks.encoders.bert.config import BertConfig

  bert = BertConfig.read(_path(plan, "bert_config.json"))
  return bert.to_garden(dropout_rate=DROPOUT, attention_dropout_rate=DROPOUT)


def checkpoint(plan: Plan) -> str:
  """Returns the prefix of the encoder's weights."""
  return _path(plan, "bert_model.ckpt")


def _path(plan: Plan, name: str) -> str:
  from tasks.encoders import find as encoders

  return os.path.join(encoders.find(plan.encoder).directory, name)

"""Model Garden's encoder, for Keras `fit` and for Model Garden's trainer."""

from typing import Any

from benchmarks.contenders.plan import DROPOUT, Plan


def encoder_config(plan: Plan) -> Any:
  """Returns Model Garden's config of the encoder."""
  from official.nlp.configs import encoders as configs

  from tasks.encoders import find as encoders

  bert = encoders.find(plan.encoder).config
  return configs.EncoderConfig(
    type="bert",
    bert=configs.BertEncoderConfig(
      vocab_size=bert.vocab_size,
      hidden_size=bert.hidden_size,
      num_layers=bert.num_hidden_layers,
      num_attention_heads=bert.num_attention_heads,
      intermediate_size=bert.intermediate_size,
      max_position_embeddings=bert.max_position_embeddings,
      type_vocab_size=bert.type_vocab_size,
      dropout_rate=DROPOUT,
      attention_dropout_rate=DROPOUT,
    ),
  )


def checkpoint(plan: Plan) -> str:
  """Returns the prefix of the encoder's weights."""
  from tasks.encoders import find as encoders

  return encoders.find(plan.encoder).checkpoint

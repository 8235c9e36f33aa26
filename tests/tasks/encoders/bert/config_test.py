"""A config says which encoder it is, whoever wrote it."""

import json

import pytest

from engine.errors import UserError
from tasks.encoders import find as encoders
from tasks.encoders.bert.config import BertConfig
from tests.tasks.encoders.bert.entry import SIZES


def test_gelu_is_what_the_source_computes():
  """Google's code takes the approximation, Hugging Face's the exact one."""
  google = BertConfig.from_dict({**SIZES, "vocab_size": 9})
  face = BertConfig.from_dict({**SIZES, "vocab_size": 9, "model_type": "bert"})
  assert not google.exact_gelu
  assert face.exact_gelu
  for config in (google, face):
    assert BertConfig.from_dict(config.to_dict()) == config


def test_a_config_that_lacks_a_size_names_it():
  with pytest.raises(UserError, match="'vocab_size'"):
    BertConfig.from_dict(SIZES)


def test_another_activation_is_refused(tmp_path):
  path = tmp_path / "config.json"
  sizes = {**encoders.find("tiny").config.to_dict(), "hidden_act": "relu"}
  path.write_text(json.dumps(sizes))
  with pytest.raises(UserError, match="'gelu' and 'gelu_new' are supported"):
    BertConfig.read(str(path))


def test_random_encoders_have_berts_sizes():
  base, large = (encoders.find(name).config for name in ("base", "large"))
  assert (base.num_hidden_layers, base.hidden_size) == (12, 768)
  assert (large.num_hidden_layers, large.hidden_size) == (24, 1024)
  for config in (base, large):
    assert config.vocab_size == 30522
    assert config.hidden_size == 64 * config.num_attention_heads
    assert config.intermediate_size == 4 * config.hidden_size
    assert config.max_position_embeddings == 512

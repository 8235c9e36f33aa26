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
  assert google.activation == "gelu_new"
  assert face.activation == "gelu"
  for config in (google, face):
    assert BertConfig.from_dict(config.to_dict()) == config


def test_a_config_that_lacks_a_size_names_it():
  with pytest.raises(UserError, match="'vocab_size'"):
    BertConfig.from_dict(SIZES)


def test_another_activation_is_refused(tmp_path):
  path = tmp_path / "config.json"
  sizes = {**encoders.find("tiny").config.to_dict(), "hidden_act": "silu"}
  path.write_text(json.dumps(sizes))
  with pytest.raises(UserError, match="'silu', but must be one of gelu"):
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


@pytest.mark.parametrize(
  ("changes", "complaint"),
  [
    ({"num_attention_heads": 0}, "is 0, but must be an integer from 1 to 1024"),
    ({"num_attention_heads": 3}, "is 3, but must be a divisor of the hidden"),
    ({"num_attention_heads": "2"}, "is '2', but must be an integer"),
    ({"num_attention_heads": True}, "is True, but must be an integer"),
    ({"num_hidden_layers": 10**9}, "is 1000000000, but must be an integer"),
    ({"hidden_size": -32}, "is -32, but"),
    ({"vocab_size": 1e3}, "is 1000.0, but must be an integer"),
    ({"type_vocab_size": None}, "is None, but must be an integer"),
    ({"layer_norm_eps": float("nan")}, "is nan, but must be a number"),
    ({"layer_norm_eps": 0}, "is 0, but must be a number"),
    ({"initializer_range": "x" * 1000}, "is 'x+.*x', but must be a number"),
    ({"initializer_range": float("inf")}, "is inf, but must be a number"),
    ({"hidden_act": ["gelu"]}, ".*, but must be one of gelu"),
  ],
)
def test_a_size_that_is_none_is_refused_by_its_name(changes, complaint):
  (name,) = changes
  with pytest.raises(
    UserError, match=f"`{name}` in its config {complaint}"
  ) as caught:
    BertConfig.from_dict({**SIZES, "vocab_size": 9, **changes})
  assert len(str(caught.value)) < 200


def stated(path, *, face=True, **values):
  path.write_text(json.dumps({**SIZES, "vocab_size": 9, **values}))
  return BertConfig.read_stated(str(path), face=face)


@pytest.mark.parametrize(
  "values",
  [
    {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
    {"architectures": ["TFBertModel"]},
    {"model_type": "bert", "architectures": ["HF_ColBERT"]},
    {"model_type": "bert", "is_decoder": False, "architectures": None},
    {"model_type": "bert", "position_embedding_type": "absolute"},
  ],
)
def test_a_config_of_a_bert_is_taken(tmp_path, values):
  assert stated(tmp_path / "config.json", **values).activation == "gelu"


@pytest.mark.parametrize(
  "values",
  [
    {"model_type": "roberta"},
    {"model_type": "electra", "architectures": ["BertModel"]},
    {"model_type": "albert"},
    {"model_type": ["bert"]},
    {"architectures": ["RobertaForMaskedLM"]},
    {"architectures": ["DistilBertModel"]},
    {"architectures": "BertModel"},
    {"model_type": "bert", "architectures": ["JinaBertForMaskedLM"]},
    {"model_type": "bert", "architectures": ["BertGenerationEncoder"]},
    {"model_type": "bert", "position_embedding_type": "relative_key"},
    {"model_type": "bert", "is_decoder": True},
    {"model_type": "bert", "add_cross_attention": True},
    {"model_type": "bert", "embedding_size": 16},
    {"model_type": "bert", "auto_map": {"AutoModel": "modeling.Mine"}},
  ],
)
def test_another_encoder_is_refused_by_what_says_so(tmp_path, values):
  for face in (True, False):
    with pytest.raises(UserError, match="read is bert|must be") as caught:
      stated(tmp_path / "config.json", face=face, **values)
    assert f"`{[*values][-1]}`" in str(caught.value) or len(values) > 1


def test_a_config_must_say_of_which_model_it_is(tmp_path):
  """Google's have no such field, and are of BERT alone."""
  with pytest.raises(UserError, match="add `model_type`, one of bert, cam"):
    stated(tmp_path / "config.json")
  google = stated(tmp_path / "config.json", face=False)
  assert google.activation == "gelu_new"

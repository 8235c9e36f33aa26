"""Ids are those of Transformers' own tokenizer, whatever is combined."""

import importlib.util
import itertools
import json
import random

import numpy as np
import pytest

from tasks.encoders import find as encoders
from tasks.tokens.tokenizer import PairTokenizer
from tasks.wordpiece import stated
from tests.support.testing import needs_demo_encoder, needs_shared_data
from tests.tasks.export.graph_tokenizer_test import (
  ALL,
  ODD,
  shared_sentences,
)

pytestmark = [
  needs_demo_encoder,
  pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="transformers (extra [peers]) is not installed",
  ),
]
COMBINED = list(
  itertools.product((True, False), (None, True, False), (True, False))
)
NAMES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
LETTERS = [x for x in ALL if x.isalpha() and ord(x) < 0x20000]


def random_texts(count, seed):
  """Texts of letters of all scripts, of odd characters, and of any others."""
  draw = random.Random(seed)
  kinds = ("abcdefghijklmnopqrstuvwxyzABCDEÄÖÜéß   ", ODD, LETTERS, ALL)
  return [
    "".join(
      draw.choice(draw.choices(kinds, (6, 2, 2, 1))[0])
      for _ in range(draw.randrange(60))
    )
    for _ in range(count)
  ]


def encoder(path, values):
  """The files of a BERT with these settings, cased and accented pieces too."""
  pieces = dict.fromkeys(encoders.find("demo").tokenizer.pieces)
  pieces |= dict.fromkeys("ABCDEÄÖÜéßΣς中東京")
  pieces |= dict.fromkeys(f"##{x}" for x in "ABCDEÄÖÜéßΣς中東京\u0301")
  path.mkdir()
  (path / "vocab.txt").write_text("".join(f"{x}\n" for x in pieces))
  config = {"tokenizer_class": "BertTokenizer", **values}
  (path / "tokenizer_config.json").write_text(json.dumps(config))
  return str(path)


def check(path, texts, **settings):
  """Compares pairs of neighbours, whole and cut."""
  from transformers import AutoTokenizer

  theirs = AutoTokenizer.from_pretrained(path, **settings)
  mine = PairTokenizer(stated.read(path))
  others = texts[1:] + texts[:1]
  found = theirs(texts, others, padding=True, return_tensors="np")
  expected = mine.encode(texts, others, 2**20).dense()
  for name, key in (
    ("input_word_ids", "input_ids"),
    ("input_mask", "attention_mask"),
    ("input_type_ids", "token_type_ids"),
  ):
    assert np.array_equal(found[key], expected[name]), name


def model_config(path):
  with open(f"{path}/config.json", "w") as file:
    json.dump({"model_type": "bert"}, file)


def check_all_forms(tmp_path, values, texts):
  """As the encoder came, as Transformers saves it, and as we export it."""
  from transformers import AutoTokenizer

  values = dict(zip(NAMES, values, strict=True))
  came = encoder(tmp_path / "came", values)
  model_config(came)
  check(came, texts, split_special_tokens=True)
  saved = tmp_path / "saved"
  AutoTokenizer.from_pretrained(came).save_pretrained(saved)
  model_config(saved)
  assert not (saved / "vocab.txt").exists()
  check(str(saved), texts, split_special_tokens=True)
  exported = tmp_path / "exported"
  exported.mkdir()
  model_config(exported)
  stated.read(str(saved)).write(
    str(exported), model_max_length=512, split_special_tokens=True
  )
  check(str(exported), texts)
  return came


@pytest.mark.parametrize("values", COMBINED)
def test_random_texts_have_the_ids_of_transformers(tmp_path, values):
  texts = [*random_texts(300, seed=0), "[SEP] is not [CLS] an end [MASK]"]
  check_all_forms(tmp_path, values, texts)


@pytest.mark.slow
@needs_shared_data
@pytest.mark.parametrize("values", COMBINED)
def test_all_texts_have_the_ids_of_transformers(tmp_path, values):
  came = check_all_forms(tmp_path, values, random_texts(10_000, seed=1))
  check(came, shared_sentences(), split_special_tokens=True)

"""Directories of encoders as people have them, each read rightly or refused."""

import os

import pytest

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.sentence_pair import SentencePairTask
from tests.support.testing import SHARED

FAULTS = os.path.join(SHARED, "faults")
pytestmark = pytest.mark.skipif(
  not os.path.isdir(FAULTS), reason="../shared/faults is not there"
)


def first_weights(monkeypatch, tmp_path, folder, **settings):
  """A task on an encoder, with weights in its model."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  encoder = os.path.join(FAULTS, *folder.split("/"))
  task = SentencePairTask(
    SentencePairConfig(encoder=encoder, max_seq_length=32, **settings)
  )
  task.initialize(task.build_model(), seed=0)
  return task


@pytest.mark.parametrize(
  "folder",
  [
    "bom_vocab/enc",
    "chinese_casing/hf",
    "chinese_casing/tf1",
    "crlf_vocab/enc",
    "duplicate_pieces/enc",
    "half_weights/bf16",
    "half_weights/fp16",
    "roberta_vocab/enc",
    "roberta_vocab/enc1",
    "strip_accents/enc",
    "trailing_blank/enc",
    "weights_files/both",
    "weights_files/sharded",
  ],
)
def test_an_encoder_that_others_load_is_loaded(monkeypatch, tmp_path, folder):
  assert first_weights(monkeypatch, tmp_path, folder).tokenizer.lowercase


@pytest.mark.parametrize(
  ("folder", "complaint"),
  [
    ("roberta_vocab/electra", "`model_type` .*electra.*contradict.*--encoder"),
    ("one_token_type/enc", "`type_vocab_size` is 1.*--text_b="),
    ("weights_files/bin", "pytorch_model.bin, .*save_pretrained"),
    ("japanese_tokenizer/enc", "asks for a BertJapaneseTokenizer"),
  ],
)
def test_an_encoder_that_is_none_is_refused_with_a_cure(
  monkeypatch, tmp_path, folder, complaint
):
  with pytest.raises(UserError, match=complaint) as caught:
    first_weights(monkeypatch, tmp_path, folder)
  assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)


def test_an_encoder_of_one_type_is_loaded_for_single_sentences(
  monkeypatch, tmp_path
):
  first_weights(monkeypatch, tmp_path, "one_token_type/enc", text_b="")

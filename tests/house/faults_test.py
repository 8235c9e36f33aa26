"""Encoders of the kinds that public reports are about end as they should."""

import csv
import os

import numpy as np
import pytest
import tensorflow as tf

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.export.graph_tokenizer import GraphTokenizer
from tasks.sentence_pair import SentencePairTask
from tasks.tokens.tokenizer import PairTokenizer
from tasks.wordpiece import stated
from tests.support.testing import SHARED

FAULTS = os.path.join(SHARED, "faults")
pytestmark = pytest.mark.skipif(
  not os.path.isdir(FAULTS), reason="../shared/faults is not there"
)


def pairs_in(*path):
  with open(os.path.join(FAULTS, *path), encoding="utf-8", newline="") as file:
    rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [row[:2] for row in rows]


def ids_of(encoder, pairs):
  """The ids of each pair: those of training, and of a graph as well."""
  spec = stated.read(os.path.join(FAULTS, encoder))
  a, b = (list(texts) for texts in zip(*pairs, strict=True))
  mine = PairTokenizer(spec).encode(a, b, 64).dense()
  served = GraphTokenizer(spec, max_length=64)
  for name, array in served(tf.constant(a), tf.constant(b)).items():
    assert np.array_equal(array, mine[name])
  return spec, mine["input_word_ids"]


def test_all_spaces_are_spaces_in_an_export():
  _, ids = ids_of("crlf_vocab/enc", pairs_in("export_nbsp", "pairs.tsv"))
  assert len(ids) == 5
  assert (ids == ids[0]).all()


@pytest.mark.parametrize("encoder", ["hf", "tf1"])
def test_special_pieces_do_not_make_a_vocabulary_cased(encoder):
  probe = pairs_in("chinese_casing", "probe.tsv")
  spec, ids = ids_of(f"chinese_casing/{encoder}", probe)
  assert spec.lowercase and spec.guessed
  assert (ids[0] == ids[3]).all() and (ids[1] == ids[4]).all()
  assert (ids[1] != ids[2]).any()
  assert spec.vocabulary["[UNK]"] not in ids


def test_accents_are_kept_where_the_encoder_says_so():
  _, ids = ids_of("strip_accents/enc", pairs_in("strip_accents", "probe.tsv"))
  assert (ids[0] != ids[1]).any()


def test_another_tokenizer_is_refused_by_name():
  path = os.path.join(FAULTS, "japanese_tokenizer", "enc")
  with pytest.raises(UserError, match="asks for a BertJapaneseTokenizer"):
    stated.read(path)


@pytest.mark.parametrize(
  "folder", ["duplicate_pieces", "crlf_vocab", "bom_vocab", "trailing_blank"]
)
def test_a_vocabulary_is_taken_in_training_and_in_exports(folder):
  spec, ids = ids_of(f"{folder}/enc", pairs_in("dev.tsv")[1:])
  words = {word for pair in pairs_in("dev.tsv")[1:] for word in pair[0].split()}
  known = spec.vocabulary
  assert {ids.max() < len(spec.pieces), known["cat"] in ids} == {True}
  path = os.path.join(FAULTS, folder, "enc", "vocab.txt")
  with open(path, encoding="utf-8-sig") as file:
    last = {line.strip(): i for i, line in enumerate(file)}
  assert {x: known[x] for x in words & set(known)} == {
    x: last[x] for x in words & set(last)
  }


def test_an_encoder_with_a_blank_last_line_is_trained_on(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  encoder = os.path.join(FAULTS, "trailing_blank", "enc")
  task = SentencePairTask(
    SentencePairConfig(encoder=encoder, max_seq_length=32)
  )
  assert len(task.tokenizer.pieces) == 123
  task.initialize(task.build_model(), seed=0)

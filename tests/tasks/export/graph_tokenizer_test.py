"""In a graph each text of Unicode has the ids that it has in training."""

import csv
import functools
import glob
import importlib.util
import os
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from tasks.encoders import find as encoders
from tasks.export.graph_tokenizer import GraphTokenizer
from tasks.tokens.tokenizer import PairTokenizer
from tasks.wordpiece.spec import WordPiece
from tests.support.testing import (
  SHARED,
  needs_demo_encoder,
  needs_shared_data,
)

needs_hypothesis = pytest.mark.skipif(
  importlib.util.find_spec("hypothesis") is None,
  reason="hypothesis (extra [test]) is not installed",
)

ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# Those that are all alike need not all be seen every time.
ALIKE = ("CJK UNIFIED", "HANGUL SYLLABLE")
SOME = [
  x
  for x in ALL
  if not ord(x) % 61
  or not (
    unicodedata.category(x) in ("Cn", "Co")
    or unicodedata.name(x, "").startswith(ALIKE)
  )
]
# Alone, beside letters, and behind and before marks.
FORMS = ("{}", "a{}b", "a\u0301{}\u302e", "\u1b44{}\u0301")
DEFAULT = (True, None, True)  # Lower case, accents, Chinese characters.
OTHERS = [
  (lowercase, accents, chinese)
  for lowercase in (True, False)
  for accents in (None, not lowercase)
  for chinese in (True, False)
]
# Spaces, controls, punctuation, case, Chinese, Hangul, marks, compositions.
ODD = (
  " \t\n\r\u00a0\u3000\u2028\x00\x85\u200b\u00ad\ufffd\uffff'#-[]aZ\u0130\u00df"
  "\u03a3\u03c2\u4e2d\ufa0e\uac00\u1100\u1161\u11a8\u0301\u0316\u302e\u1b44\u0344"
  "\u0f73\u093f\u0941\u212b\u1e9e\ufb01\u01c5\uff21\U0001d15f\U0001f600"
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@functools.cache
def letters_of_all_scripts():
  """Pieces that tell nearly all letters, digits and marks apart."""
  found = {x for x in ALL if unicodedata.category(x)[0] in "LNM"}
  found |= {y for x in found for y in x.lower()}
  found |= set(map(chr, range(33, 127)))
  pieces = sorted(found)
  return (*SPECIAL, *pieces, *(f"##{x}" for x in pieces))


@functools.cache
def both(lowercase, accents, chinese):
  """The tokenizer of training, and that of a graph: texts -> their ids."""
  spec = WordPiece(letters_of_all_scripts(), lowercase, accents, chinese)
  mine = PairTokenizer(spec)
  served = GraphTokenizer(spec, max_length=2**30, single=True)
  graph = tf.function(
    lambda texts: served(texts)["input_word_ids"],
    input_signature=[tf.TensorSpec([None], tf.string)],
    autograph=False,
  )
  return (
    lambda texts: mine.encode(texts, None, 2**30).dense()["input_word_ids"],
    lambda texts: graph(tf.constant(texts)).numpy(),
  )


def check_each(codes, form, settings):
  """Compares all code points in one text; names one that differs."""
  training, graph = both(*settings)
  text = " ".join(form.replace("{}", code) for code in codes)
  if not np.array_equal(training([text]), graph([text])):
    assert len(codes) > 1, f"U+{ord(codes[0]):04X} in {form!r}"
    half = len(codes) // 2
    check_each(codes[:half], form, settings)
    check_each(codes[half:], form, settings)
    raise AssertionError("Only the whole differs.")


@pytest.mark.parametrize("form", FORMS)
def test_code_points_have_the_same_ids(form):
  check_each(SOME, form, DEFAULT)


@pytest.mark.slow
@pytest.mark.parametrize("settings", OTHERS)
def test_all_code_points_have_the_same_ids(settings):
  check_each(ALL, " ".join(FORMS), settings)


def check_random(settings, rounds, seed):
  """Draws `rounds` times 50 texts, and compares their ids."""
  from hypothesis import HealthCheck, given
  from hypothesis import seed as seeded
  from hypothesis import settings as limits
  from hypothesis import strategies as st

  training, graph = both(*settings)
  odd = st.sampled_from(ODD)
  chars = st.one_of(odd, st.characters(exclude_categories=["Cs"]))
  seen = []

  @seeded(seed)
  @limits(
    max_examples=rounds,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
  )
  @given(st.lists(st.text(chars, max_size=40), min_size=50, max_size=50))
  def check(texts):
    seen.extend(texts)
    assert np.array_equal(training(texts), graph(texts))

  check()
  return len(seen)


@needs_hypothesis
@pytest.mark.parametrize("settings", [DEFAULT, (False, None, True)])
def test_random_texts_have_the_same_ids(settings):
  assert check_random(settings, rounds=20, seed=0) >= 1000


@pytest.mark.slow
@needs_hypothesis
def test_a_hundred_thousand_random_texts_have_the_same_ids():
  seen = sum(
    check_random(settings, rounds=250, seed=i)
    for i, settings in enumerate(OTHERS)
  )
  assert seen >= 100_000


def shared_sentences():
  """All sentences of the shared data, each once."""
  columns = ("#1 String", "#2 String", "sentence1", "sentence2")
  columns += ("sentence_A", "sentence_B")
  texts = {}
  for path in sorted(
    glob.glob(os.path.join(SHARED, "data", "*", "*.t[sx][tv]"))
  ):
    with open(path, encoding="utf-8-sig", newline="") as file:
      for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
        texts.update((row[x], None) for x in columns if row.get(x))
  return list(texts)


def check_pairs(spec, texts):
  """Neighbours, whole and cut, in parts of a few thousand."""
  trained = PairTokenizer(spec)
  for length in (128, 9):
    served = GraphTokenizer(spec, max_length=length)
    graph = tf.function(
      served, input_signature=[tf.TensorSpec([None], tf.string)] * 2
    )
    for i in range(0, len(texts), 4096):
      a, b = texts[i : i + 4096], texts[i + 1 : i + 4097]
      b += texts[: len(a) - len(b)]
      mine = trained.encode(a, b, length).dense()
      found = graph(tf.constant(a), tf.constant(b))
      for name, array in mine.items():
        assert np.array_equal(found[name], array), (name, i)


@needs_shared_data
@needs_demo_encoder
def test_pairs_of_the_shared_data_have_the_same_ids():
  check_pairs(encoders.find("demo").tokenizer, shared_sentences()[::61])


@pytest.mark.slow
@needs_shared_data
@needs_demo_encoder
def test_all_pairs_of_the_shared_data_have_the_same_ids():
  texts = shared_sentences()
  assert len(texts) > 40_000
  check_pairs(encoders.find("demo").tokenizer, texts)


def test_special_pieces_and_long_words_are_as_in_training():
  pieces = (
    "<pad>",
    "<unk>",
    "<s>",
    "</s>",
    "Éa",
    "##b",
    "ea",
    "##B",
    "x",
    "##x",
  )
  spec = WordPiece(
    pieces, False, cls="<s>", sep="</s>", pad="<pad>", unknown="<unk>"
  )
  check_pairs(
    spec,
    ["Éab ea eaB", "É éa E", "e <s> x", "x" * 100, "x" * 101, "é" * 101, ""],
  )

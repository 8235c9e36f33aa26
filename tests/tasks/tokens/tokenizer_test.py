"""Ids equal Model Garden's FullTokenizer's; pairs are cut as BERT does."""

import csv
import glob
import os

import numpy as np
import pytest
from official.nlp.tools import tokenization

from tasks.config import SentencePairConfig
from tasks.data.datasets import answers_of, read_split
from tasks.encoders import find as encoders
from tasks.tokens.tokenizer import PairTokenizer, as_written, truncate
from tests.support import families
from tests.support.testing import SHARED, needs_demo_encoder, needs_shared_data
from tests.tasks.encoders.entry import task_of

# The columns of sentences in the files of MRPC, RTE, STS-B and SICK.
SENTENCES = (
  *("#1 String", "#2 String"),
  *("sentence1", "sentence2"),
  *("sentence_A", "sentence_B"),
)


def demo_tokenizer():
  return PairTokenizer(encoders.find("demo").tokenizer)


def test_cutting_equals_berts_loop():
  for a in range(14):
    for b in range(14):
      for budget in range(2, 28):
        x, y = a, b
        while x + y > budget:
          if x > y:
            x -= 1
          else:
            y -= 1
        assert truncate(a, b, budget) == (x, y)


@needs_demo_encoder
def test_the_tutorials_example():
  tokenizer = demo_tokenizer()
  tokens = tokenizer.tokenize("Hello TensorFlow!")
  assert tokens == ["hello", "tensor", "##flow", "!"]
  ids = [tokenizer.vocabulary[token] for token in tokens]
  assert ids == [7592, 23435, 12314, 999]
  assert len(tokenizer.vocabulary) == 30522
  encoded = tokenizer.encode(["Hello TensorFlow!"], ["Hello!"], 128)
  assert encoded.ids.tolist() == [101, *ids, 102, 7592, 999, 102]
  assert encoded.first.tolist() == [6]


@needs_demo_encoder
def test_ids_equal_full_tokenizer_on_our_corpus():
  config = SentencePairConfig()
  pairs = read_split(config, "train", answers_of(config))
  check_against_full_tokenizer([*pairs.texts_a, *pairs.texts_b])


@needs_demo_encoder
@needs_shared_data
@pytest.mark.parametrize(
  "name, sentences",
  [("mrpc", 10_900), ("rte", 9_800), ("stsb", 15_400), ("sick", 6_000)],
)
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_ids_equal_full_tokenizer_on_those_of(name, sentences, every):
  texts = set()
  for path in glob.glob(os.path.join(SHARED, "data", name, "*.t[sx][tv]")):
    with open(path, encoding="utf-8-sig", newline="") as file:
      for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
        texts.update(row[column] for column in SENTENCES if row.get(column))
  assert len(texts) > sentences
  check_against_full_tokenizer(sorted(texts)[::every])


def check_against_full_tokenizer(texts):
  mine = demo_tokenizer()
  full = tokenization.FullTokenizer(mine.spec.source, do_lower_case=True)
  expected = [full.convert_tokens_to_ids(full.tokenize(text)) for text in texts]
  encoded = mine.encode(texts, ["x"] * len(texts), 10**6)
  for i, ids in enumerate(expected):
    start = encoded.starts[i] + 1
    got = encoded.ids[start : start + encoded.first[i] - 2]
    np.testing.assert_array_equal(got, ids, texts[i])


def test_a_long_pair_is_cut_and_counted():
  tokenizer = PairTokenizer(encoders.find("tiny").tokenizer)
  encoded = tokenizer.encode(["a " * 50, "a"], ["a " * 9, "a"], 20)
  assert encoded.truncated == 1
  assert encoded.lengths.tolist() == [20, 5]
  assert encoded.first.tolist() == [11, 3]  # 9 + 8 tokens and three specials.


@pytest.fixture(params=["tiny", "mpnet", "roberta", "camembert"])
def encoder(request, tmp_path):
  """One with one or two pieces between sentences, of each kind of tokenizer."""
  name = request.param
  return name if name == "tiny" else families.write(name, str(tmp_path))


def test_what_is_not_read_is_shown_by_characters(encoder):
  """The shown part and the rest are the text; the ids are those of the part."""
  tokenizer = PairTokenizer(encoders.find(encoder).tokenizer)
  long = "\u00dcber the river, Zo\u00eb said: wait for 12 minutes."
  shown = tokenizer.shown([long, "Short."], 20)
  read, rest = shown.removesuffix("] | Short.").split(" [not read: ")
  assert as_written(shown) == as_written(f"{long} | Short.")
  assert as_written(shown) != as_written(f"{long} | Shorter.")
  assert rest and "".join((read + rest).split()) == "".join(long.split())
  whole = tokenizer.encode([long], ["Short."], 20)
  part = tokenizer.encode([read], ["Short."], 100)
  assert (whole.truncated, part.truncated) == (1, 0)
  assert whole.ids.tolist() == part.ids.tolist()
  assert tokenizer.shown([long, "Short."], 200) == f"{long} | Short."
  assert tokenizer.shown([long], 3).startswith(long[0])
  assert tokenizer.shown([long], 2) == f"[not read: {long}]"


def test_a_pair_is_cut_from_the_token_on_that_is_too_much(encoder):
  task = task_of(encoder, max_seq_length=16)
  tokenizer = PairTokenizer(task.tokenizer)
  found = []
  for count in range(4, 16):
    one = " ".join("a" * count)
    cut = tokenizer.encode([one], ["b"], 16).truncated == 1
    assert task.is_cut(f"{one}\tb") == cut
    found.append(cut)
  assert found == sorted(found) and len({*found}) == 2

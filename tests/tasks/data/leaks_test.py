"""What flatters a metric is found, to the pair."""

import os
import tracemalloc

import numpy as np
import pytest

from tasks.answers import Classes
from tasks.config import SentencePairConfig
from tasks.data.datasets import read_split
from tasks.data.leaks import Leaks, common, partners, repeats
from tasks.data.pairs import Pairs
from tasks.data.sentences import Sentences
from tests.support.testing import SHARED, needs_shared_data


def pairs(*rows):
  a, b, labels = zip(*rows, strict=True)
  return Pairs(a, b, labels, range(10, 10 + len(rows)))


TRAIN = pairs(
  ("A man eats.", "He is eating", 1),
  ("Two dogs", "A cat", 0),
  ("two dogs!", "a  cat", 1),
  ("A cat", "Two dogs", 1),
)
DEV = pairs(
  ("He is eating.", "a man eats", 1),  # In train, in the other order.
  ("A cat", "A horse", 0),
  ("A bird", "A fish", 0),
  ("a bird", "a fish", 1),
  ("A whale", "a bird", 1),
)


def test_leaks_of_a_split_are_found_and_said_in_a_line_each(caplog):
  leaks = Leaks(TRAIN, None)
  marks = leaks.find("dev", DEV, None)
  found = {name: (list(x), y) for name, (x, y) in marks.items()}
  assert found == {
    "in_train": ([0], ["train 10"]),
    "shares_a_sentence": ([0, 1], ["train 10", "train 13"]),
    "there_twice": ([3], ["dev 12"]),
    "contradicts": ([3], ["dev 12"]),
  }
  said = [record.getMessage() for record in caplog.records]
  assert said == [
    "2 of the 4 pairs of 'train' are there more than once (rows 12, 13).",
    "1 of the 4 pairs of 'train' have another label than an equal pair before "
    "them (row 12).",
    "1 of the 5 pairs of 'dev' are in 'train' too: metrics will flatter "
    "(row 10).",
    "2 of the 5 pairs of 'dev' share a sentence with 'train' (rows 10, 11).",
    "1 of the 5 pairs of 'dev' are there more than once (row 13).",
    "1 of the 5 pairs of 'dev' have another label than an equal pair before "
    "them (row 13).",
  ]
  leaks.find("dev", DEV, None)
  assert len(caplog.records) == len(said)  # It has been said.


def test_single_sentences_share_none():
  alone = Pairs(["A cat", "B"], None, [0, 1], range(2))
  marks = Leaks(alone, None).find("dev", alone, None)
  assert "shares_a_sentence" not in marks
  assert list(marks["in_train"][0]) == [0, 1]


@needs_shared_data
def test_the_leaks_of_mrpc():
  folder = os.path.join(SHARED, "data", "mrpc")
  config = SentencePairConfig(name="mrpc", data_dir=folder)
  answers = Classes(("not_equivalent", "equivalent"))
  train = read_split(config, "train", answers)
  dev = read_split(config, "dev", answers)
  test = read_split(config, "test", None)
  counts = {}
  for name, split in (("dev", dev), ("test", test)):
    found = common(split.sentences, train.sentences)
    counts[name] = {kind: len(places) for kind, (places, _) in found.items()}
  assert (len(dev), len(test)) == (408, 1725)
  assert counts["dev"] == {"in_train": 0, "shares_a_sentence": 43}
  assert counts["test"] == {"in_train": 7, "shares_a_sentence": 252}


def brute_force(ours, theirs):
  places = {}
  for i, x in enumerate(theirs.tolist()):
    places.setdefault(x, i)
  return np.array([places.get(x, -1) for x in ours.tolist()])


@pytest.mark.parametrize("block", [3, 2**20])
def test_partners_are_the_first_equal_ones(monkeypatch, block):
  monkeypatch.setattr("tasks.data.leaks._BLOCK", block)
  random = np.random.default_rng(0)
  for _ in range(30):
    sizes = random.integers(0, 20, size=2)
    ours, theirs = (random.integers(12, size=n) for n in sizes)
    assert np.array_equal(partners(ours, theirs), brute_force(ours, theirs))


def test_repeats_name_the_first_of_the_equal_pairs():
  random = np.random.default_rng(1)
  first, second = random.integers(3, size=[2, 40])
  labels = random.integers(2, size=40)
  found = repeats(Sentences(first, second), labels)
  seen, ordered, twice, apart = {}, {}, [], []
  for i in range(40):
    pair = (int(first[i]), int(second[i]))
    before = seen.setdefault(frozenset(pair), i)
    if before != i:
      twice.append((i, before))
    before = ordered.setdefault(pair, i)
    if labels[before] != labels[i]:
      apart.append((i, before))
  for name, expected in (("there_twice", twice), ("contradicts", apart)):
    assert list(zip(*map(np.ndarray.tolist, found[name]), strict=True)) == (
      expected
    )
  assert "contradicts" not in repeats(Sentences(first, second), None)


def test_many_pairs_are_looked_through_in_little_memory():
  number = 2**20
  random = np.random.default_rng(0)
  theirs = Sentences(*random.integers(2**63, size=[2, number]))
  ours = Sentences(theirs.first[:1000], theirs.second[5:1005])
  tracemalloc.start()
  found = common(ours, theirs)
  repeats(theirs, np.zeros(number, np.int8))
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert len(found["shares_a_sentence"][0]) == 1000
  assert not len(found["in_train"][0])
  # 300 MB for 3.7 M pairs, with the 16 bytes of each pair's sentences.
  assert peak / number < 64

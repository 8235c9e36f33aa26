"""Sentences are the same by their words and numbers."""

import re

import numpy as np
import pytest

from tasks.data.sentences import (
  Sentences,
  digests_of,
  sentences_of_tokens,
  words_of,
)


@pytest.mark.parametrize(
  ("one", "other"),
  [
    ("It 's 1.5 % .", "it's 1.5%"),
    ("Two  words", " two\twords!"),
    ("\u201cÉtude\u201d no. 3", "'étude' no 3"),
    ("ﬁne STRASSE", "fine straße"),
  ],
)
def test_case_spaces_and_punctuation_do_not_count(one, other):
  assert len({*words_of([one, other])}) == 1
  assert len({*digests_of([one, other]).tolist()}) == 1


@pytest.mark.parametrize(
  ("one", "other"),
  [
    ("it's 1.5%", "it's 15%"),
    ("a b", "ab"),
    ("a_b", "a b"),
    ("!!!", "???"),
    ("étude", "etude"),
  ],
)
def test_words_and_numbers_do(one, other):
  assert len({*digests_of([one, other]).tolist()}) == 2


def test_words_are_what_a_pattern_finds():
  random = np.random.default_rng(0)
  signs = np.array(list(map(chr, range(128))) + list("  \t..aZ9") * 8)
  texts = ["", " ", "\n", ". a", "a .", "".join(signs)]
  texts += ["".join(random.choice(signs, n)) for n in range(40)] * 2
  expected = [" ".join(re.findall(r"\w+", x.lower())).encode() for x in texts]
  assert words_of(texts) == expected
  assert [words_of([x])[0] for x in texts] == expected
  flat = [x.replace("\n", " ") for x in texts]  # Looked at all at once.
  assert words_of(flat) == expected
  assert words_of([*flat, "\u00c9t\u00e9 !"])[:-1] == expected


def test_a_digest_is_the_same_beside_whatever_others():
  texts = [f"sentence {i}, or {i % 7}" for i in range(9000)] + ["?!", ""]
  found = digests_of(texts)
  assert found.dtype == np.int64 and (found >= 0).all()
  assert len(np.unique(found)) == len(texts)
  assert digests_of(texts[8500:8502]).tolist() == found[8500:8502].tolist()
  assert digests_of(["?!"])[0] == found[-2] and len(digests_of([])) == 0
  # Kept beside files, so the same for good.
  assert digests_of(["a b"])[0] == 1087456389025357877


def test_a_pair_is_the_same_in_both_orders():
  random = np.random.default_rng(0)
  a, b = random.integers(2**63, size=[2, 1000])
  one, other = Sentences(a, b), Sentences(b, a)
  assert np.array_equal(one.pairs(), other.pairs())
  assert not (one.pairs(ordered=True) == other.pairs(ordered=True)).any()
  assert len(np.unique(one.pairs())) == 1000
  single = Sentences(a, None)
  assert np.array_equal(single.pairs(), a) and np.array_equal(single.all, a)


def test_tokens_tell_sentences_apart_wherever_they_stand():
  pairs = [([101, 7, 8, 102], [9, 102]), ([101, 9, 102], [7, 8, 102])]
  pairs += [([101, 8, 7, 102], [9, 9, 102])]
  ids = np.concatenate([a + b for a, b in pairs]).astype(np.int32)
  lengths = [len(a) + len(b) for a, b in pairs]
  starts = np.concatenate([[0], np.cumsum(lengths)])
  found = sentences_of_tokens(ids, starts, np.array([len(a) for a, _ in pairs]))
  first, second = found
  assert first[0] == second[1] and second[0] == first[1]
  assert len({*first.tolist(), *second.tolist()}) == 4
  assert found.pairs()[0] == found.pairs()[1]
  alone = sentences_of_tokens(ids[:4], np.array([0, 4]), np.array([4]))
  assert alone.second is None and alone.first[0] == first[0]

"""The project's own corpus keeps its promises."""

import collections
import os
import re

import numpy as np
import pytest

from tests.support.testing import ROOT


@pytest.fixture(scope="module")
def rows():
  with open(os.path.join(ROOT, "tasks", "data", "pairs.tsv")) as file:
    header, *lines = (line.rstrip("\n").split("\t") for line in file)
  return [dict(zip(header, line, strict=True)) for line in lines]


def words(text):
  return set(re.findall(r"[a-z0-9']+", text.lower()))


def overlap(row):
  a, b = words(row["text_a"]), words(row["text_b"])
  return len(a & b) / min(len(a), len(b))


def test_size_balance_and_subjects(rows):
  assert len(rows) >= 800
  for split, least in (("train", 600), ("dev", 150)):
    labels = [row["label"] for row in rows if row["split"] == split]
    assert len(labels) >= least
    assert labels.count("paraphrase") == labels.count("different")
  subjects = collections.Counter(row["subject"] for row in rows)
  assert len(subjects) >= 40
  assert max(subjects.values()) <= len(rows) / 20


def test_each_sentence_stands_once(rows):
  texts = [row[k].lower() for row in rows for k in ("text_a", "text_b")]
  assert len(set(texts)) == len(texts)


def test_no_leak_between_the_splits(rows):
  """No dev sentence shares most of its words with a train sentence."""
  by_split = {
    split: [
      words(row[k])
      for row in rows
      if row["split"] == split
      for k in ("text_a", "text_b")
    ]
    for split in ("train", "dev")
  }
  for dev in by_split["dev"]:
    for train in by_split["train"]:
      assert len(dev & train) / len(dev | train) < 0.6, (dev, train)


def test_shared_words_do_not_give_the_label_away(rows):
  shares = {
    label: np.array([overlap(r) for r in rows if r["label"] == label])
    for label in ("paraphrase", "different")
  }
  assert np.mean(shares["different"] > 0.5) > 0.65
  assert np.mean(shares["paraphrase"] > 0.5) > 0.35
  assert np.mean(shares["paraphrase"] < 0.35) > 0.15


def test_lengths(rows):
  lengths = {
    label: [
      len(row[k].split())
      for row in rows
      if row["label"] == label
      for k in ("text_a", "text_b")
    ]
    for label in ("paraphrase", "different")
  }
  for values in lengths.values():
    assert min(values) >= 4
    assert max(values) <= 40
  a, b = (np.mean(values) for values in lengths.values())
  assert abs(a - b) < 1.5


def test_openings_are_no_templates(rows):
  heads = collections.Counter(
    " ".join(row["text_a"].lower().split()[:3]) for row in rows
  )
  assert heads.most_common(1)[0][1] <= 10

"""A share of the training files is held out: alike by label."""

import collections
import dataclasses

import numpy as np
import pytest

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.data import datasets, pairs_on_disk
from tasks.data.held_out import other_splits
from tasks.data.leaks import common
from tasks.data.split_off import held_out
from tests.tasks.data.tables_test import write

LABELS = ["no"] * 60 + ["yes"] * 30 + ["odd"] * 10
ROWS = [(f"text {i}", f"other {i}", label) for i, label in enumerate(LABELS)]
# Copies of row 3: other signs, and the other order.
COPIES = [("Text 3!", "other 3", "no"), ("other 3", "text 3", "no")] * 5


def config_of(path, rows, **settings):
  given = {"eval_fraction": 0.1, **settings}
  file = str(write(path / "train.tsv", rows))
  return SentencePairConfig(
    name="pairs", encoder="tiny", train_file=file, **given
  )


def both(config):
  answers = datasets.answers_of(config)
  read = lambda split: datasets.read_split(config, split, answers)
  return read("train"), read("dev")


@pytest.mark.parametrize("large", [False, True])
def test_each_label_has_its_share_and_each_pair_one_side(
  tmp_path, monkeypatch, caplog, large
):
  if large:
    monkeypatch.setattr(pairs_on_disk, "LARGE", 0)
  train, dev = both(config_of(tmp_path, ROWS))
  assert sorted([*train.ids, *dev.ids]) == list(range(100))
  counts = collections.Counter(LABELS[i] for i in dev.ids)
  assert counts == {"no": 6, "yes": 3, "odd": 1}
  assert list(dev.ids) == sorted(dev.ids) != list(range(90, 100))
  assert dev.texts(0) == [f"{x} {dev.ids[0]}" for x in ("text", "other")]
  assert caplog.text.count("10 of 100 pairs of") == 1
  assert "held out as 'dev' (--eval_fraction=0.1)" in caplog.text


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5])
def test_copies_of_a_pair_are_on_one_side(tmp_path, share):
  """Whatever share there is: a pair that leaked would flatter its metric."""
  train, dev = both(config_of(tmp_path, ROWS + COPIES, eval_fraction=share))
  found = common(dev.sentences, train.sentences)
  assert not len(found["in_train"][0])
  assert len(dev) == pytest.approx(110 * share, abs=5)
  sides = {i in set(dev.ids) for i in (3, *range(100, 110))}
  assert len(sides) == 1


def test_it_is_a_function_of_the_pairs_and_the_share(tmp_path):
  config = config_of(tmp_path, ROWS)
  assert both(config)[1].ids == both(config)[1].ids
  other = dataclasses.replace(config, eval_fraction=0.2)
  assert len(both(other)[1]) == 20
  # Other rows behind it: which ones are held out is drawn, not counted off.
  few = np.arange(40).astype(np.uint64)
  places = [
    np.flatnonzero(held_out(few + np.uint64(i), np.zeros(40), 0.25)).tolist()
    for i in (0, 1000)
  ]
  assert places[0] == places[1] and len(places[0]) == 10
  assert np.ptp(np.diff(places[0])) > 0


def test_prediction_sees_the_same_pairs_without_their_labels(tmp_path):
  config = config_of(tmp_path, ROWS)
  for split, labelled in zip(("train", "dev"), both(config), strict=True):
    pairs = datasets.read_split(config, split, None)
    assert pairs.labels is None and [*pairs.ids] == [*labelled.ids]
  assert list(other_splits(config)) == ["dev"]


def test_scores_are_held_out_over_their_whole_range():
  scores = np.random.default_rng(0).permutation(200) / 40
  held = held_out(np.arange(200).astype(np.uint64), scores, 0.1, scores=True)
  in_tenths = np.histogram(scores[held], bins=10, range=(0, 5))[0]
  assert in_tenths.tolist() == [2] * 10


def test_a_label_of_one_pair_is_trained_on():
  labels = np.array([0] * 40 + [1])
  held = held_out(np.arange(41).astype(np.uint64), labels, 0.5)
  assert not held[40] and held.sum() == 20


@pytest.mark.parametrize("rows", [ROWS[:19], ROWS[:5] * 20])
def test_too_few_different_pairs_are_refused(tmp_path, rows):
  with pytest.raises(UserError, match="too few to hold out 0.1 of them") as e:
    both(config_of(tmp_path, rows, classes=("no", "yes")))
  assert "name --eval_file=" in str(e.value) and len(str(e.value)) < 300


def test_files_that_are_named_are_evaluated_on(tmp_path):
  with pytest.raises(UserError, match="`eval_fraction` is 0.1, but must be 0"):
    config_of(tmp_path, ROWS, eval_file="dev.tsv")
  with pytest.raises(UserError, match="another task than pairs"):
    SentencePairConfig(name="mrpc", eval_fraction=0.1)
  config = config_of(tmp_path, ROWS, eval_fraction=0.0)
  with pytest.raises(UserError, match="--eval_fraction=0.1"):
    datasets.open_split(config, "dev")

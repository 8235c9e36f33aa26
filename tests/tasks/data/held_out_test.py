"""Training pairs that other splits have are left out where that is asked."""

import dataclasses

import numpy as np
import pytest

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.data import datasets, pairs_on_disk
from tasks.data.held_out import (
  check_chosen,
  chosen,
  other_splits,
  part_of,
  without_leaks,
)
from tests.tasks.data.tables_test import write

TRAIN = [
  (f"text {i}", f"other {i}", "no" if i % 2 else "yes") for i in range(9)
]
DEV = [("Other 3!", "new", "no"), ("fresh", "text 5", "yes")]
TEST = [("a", "text 8", "yes")]


@pytest.fixture
def config(tmp_path):
  files = {
    f"{name}_file": str(write(tmp_path / f"{name}.tsv", rows))
    for name, rows in (("train", TRAIN), ("eval", DEV), ("test", TEST))
  }
  return SentencePairConfig(name="pairs", encoder="tiny", **files)


@pytest.mark.parametrize("large", [False, True])
def test_pairs_that_share_a_sentence_are_left_out(
  config, monkeypatch, caplog, large
):
  if large:
    monkeypatch.setattr(pairs_on_disk, "LARGE", 0)
  answers = datasets.answers_of(config)
  whole = datasets.read_split(config, "train", answers)
  left = without_leaks(config, whole)
  assert list(left.ids) == [0, 1, 2, 4, 6, 7]
  assert "left out 3 of 9 pairs of 'train'" in caplog.text
  assert "with dev, test" in caplog.text
  assert [left.texts(i) for i in (3, 5)] == [
    ["text 4", "other 4"],
    ["text 7", "other 7"],
  ]
  kept = [list(whole.ids).index(i) for i in left.ids]
  assert list(left.labels) == [whole.labels[i] for i in kept]
  assert len(whole) == 9
  only_dev = dataclasses.replace(config, test_file="")
  assert len(without_leaks(only_dev, whole)) == 7
  assert np.array_equal(
    left.sentences.second, whole.sentences.second[np.array(kept)]
  )


def test_several_files_keep_their_bounds(config, monkeypatch, tmp_path):
  monkeypatch.setattr(pairs_on_disk, "LARGE", 0)
  rows = [(f"b {i}", f"c {i}", "no") for i in range(4)]
  files = f"{config.train_file},{write(tmp_path / 'more.tsv', rows)}"
  both = dataclasses.replace(config, train_file=files)
  whole = datasets.read_split(both, "train", datasets.answers_of(both))
  left = without_leaks(both, whole)
  assert left.read([5, 6, 9]).texts_a == ("text 7", "b 0", "b 3")


def test_nothing_left_is_refused(config, tmp_path):
  same = dataclasses.replace(config, eval_file=config.train_file)
  whole = datasets.read_split(same, "train", datasets.answers_of(same))
  with pytest.raises(UserError, match="leaves none of 9 pairs"):
    without_leaks(same, whole)


def test_all_other_splits_are_held_out(config, tmp_path):
  assert [*other_splits(config)] == ["dev", "test"]
  named = SentencePairConfig(name="mnli")
  assert set(other_splits(named)) == {
    "dev_matched",
    "dev_mismatched",
    "test_matched",
    "test_mismatched",
  }
  folder = tmp_path / "official"
  folder.mkdir()
  for name in ("train", "dev"):
    (folder / f"{name}.tsv").write_text("x")
  local = SentencePairConfig(name="rte", data_dir=str(folder))
  assert [*other_splits(local)] == ["dev"]
  assert [*other_splits(SentencePairConfig())] == ["dev"]


def test_a_part_of_the_pairs_is_in_each_larger_part(config):
  parts = [set(part_of(1000, f).tolist()) for f in (0.001, 0.1, 0.3, 1.0)]
  assert [len(x) for x in parts] == [1, 100, 300, 1000]
  assert parts[0] < parts[1] < parts[2] < parts[3]
  assert 400 < np.mean(part_of(1000, 0.3)) < 600
  whole = datasets.read_split(config, "train", datasets.answers_of(config))
  some = chosen(dataclasses.replace(config, train_fraction=0.5), whole)
  assert list(some.ids) == part_of(9, 0.5).tolist()
  both = dataclasses.replace(config, train_fraction=0.5, drop_leaks=True)
  assert len(chosen(both, whole)) == 3
  assert chosen(config, whole) is whole


def test_encoded_pairs_are_not_chosen_from(config):
  check_chosen(config)
  for change in ({"drop_leaks": True}, {"train_fraction": 0.5}):
    with pytest.raises(UserError, match="are encoded"):
      check_chosen(dataclasses.replace(config, **change))

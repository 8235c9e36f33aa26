"""Named sets that TFDS has: which labels are taken, and as what."""

import numpy as np
import pytest

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.data import published
from tasks.data.datasets import answers_of, read_split


@pytest.fixture
def stored(monkeypatch):
  """Sets the labels that TFDS has of each split."""

  def set_labels(labels, columns=("sentence1", "sentence2", "label")):
    texts = np.array([b"x"] * len(labels), object)
    rows = dict(zip(columns, (texts, texts, np.array(labels)), strict=True))
    monkeypatch.setattr(published, "_rows", lambda config, split: rows)

  return set_labels


def test_pairs_that_nobody_has_labelled_are_left_out_and_counted(
  stored, caplog
):
  stored([1, -1, 0], ("premise", "hypothesis", "label"))
  config = SentencePairConfig(name="snli")
  pairs = read_split(config, "dev", answers_of(config))
  assert (pairs.labels, pairs.ids) == ([1, 0], [0, 2])
  assert "dev: left out 1 of 3 rows" in caplog.text
  predicted = read_split(config, "dev", None)  # A prediction asks for none.
  assert (predicted.labels, predicted.ids) == (None, [0, 1, 2])


def test_a_split_of_hidden_labels_has_none(stored):
  stored([-1, -1])
  config = SentencePairConfig(name="mrpc")
  assert read_split(config, "test", answers_of(config)).labels is None


@pytest.mark.parametrize(
  "settings, labels, complaint",
  [
    ({"name": "mrpc"}, [0, 2], "1, the first is pair 1 with 2"),
    ({"name": "stsb"}, [4.5, 7.0], "no score: 1, the first is pair 1 with 7"),
    (
      {"name": "rte", "classes": ("not_entailment", "entailment")},
      [0, 1],
      r"those of glue/rte have the order \['entailment', 'not_entailment'\]",
    ),
  ],
)
def test_labels_of_other_classes_are_refused(
  stored, settings, labels, complaint
):
  stored(labels)
  config = SentencePairConfig(**settings)
  with pytest.raises(UserError, match=complaint):
    read_split(config, "train", answers_of(config))


def test_classes_may_have_other_names(stored):
  stored([1, 0])
  config = SentencePairConfig(name="mrpc", classes=("no", "yes"))
  assert read_split(config, "train", answers_of(config)).labels == [1, 0]

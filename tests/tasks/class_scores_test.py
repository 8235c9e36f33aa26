"""A class that is never found shows, whatever the accuracy."""

import numpy as np
import pytest

from tasks.class_scores import class_scores

NAMES = ("rare", "usual")
LABELS = np.array([0] * 3 + [1] * 97)


def test_a_model_that_finds_none_of_the_rare_class_is_called_collapsed():
  outputs = np.tile([0.0, 1.0], [100, 1])
  found = class_scores(LABELS, outputs, NAMES, 1)
  assert np.mean(outputs.argmax(-1) == LABELS) == 0.97
  assert found["collapsed"] == "all called usual"
  assert found["balanced_accuracy"] == 0.5
  assert (found["mcc"], found["roc_auc"]) == (0.0, 0.5)
  assert found["macro_f1"] < 0.5
  assert found["per_class"]["rare"] == {
    "precision": 0.0,
    "recall": 0.0,
    "f1": 0.0,
    "examples": 3,
  }


def test_scores_of_two_classes_by_hand():
  labels = np.array([0, 0, 0, 1, 1])
  outputs = np.eye(2)[[0, 0, 1, 1, 0]]
  found = class_scores(labels, outputs, NAMES, 1)
  of = found["per_class"]
  assert [of["rare"][x] for x in ("precision", "recall")] == [2 / 3, 2 / 3]
  assert [of["usual"][x] for x in ("precision", "recall")] == [0.5, 0.5]
  assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
  assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)
  assert found["mcc"] == pytest.approx((2 * 1 - 1 * 1) / 6)
  assert "collapsed" not in found


def test_areas_speak_of_the_positive_class():
  labels = np.array([0, 1, 0, 1, 1])
  outputs = np.array([[0.0, x] for x in (0.1, 0.9, 0.4, 0.3, 0.8)])
  usual = class_scores(labels, outputs, NAMES, 1)
  assert usual["roc_auc"] == pytest.approx(5 / 6)
  rare = class_scores(labels, outputs, NAMES, 0)
  assert rare["roc_auc"] == pytest.approx(5 / 6)
  assert rare["pr_auc"] != usual["pr_auc"]


def test_a_class_without_examples_leaves_no_score_undefined():
  found = class_scores(np.zeros(4, int), np.eye(3)[[0, 0, 1, 0]], "abc", 2)
  assert found["balanced_accuracy"] == 0.75
  assert found["per_class"]["c"]["examples"] == 0
  one = class_scores(np.zeros(4, int), np.tile([1.0, 0.0], [4, 1]), NAMES, 1)
  assert one["roc_auc"] == 0.0 and "collapsed" not in one
  values = [x for x in {**found, **one}.values() if isinstance(x, float)]
  assert np.isfinite(values).all()

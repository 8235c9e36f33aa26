"""A run is asked in a program of one's own."""

import pytest

from engine.errors import UserError
from launch.trained.api import Model


def test_a_model_says_the_same_of_pairs_and_of_single_sentences(build):
  (said,) = Model(build()).predict([("a", "b")])
  assert said == {
    "label": "no",
    "probabilities": {"no": 0.5, "yes": 0.5},
    "truncated": False,
  }
  (single,) = Model(build(text_b="")).predict(["a"])
  assert single == said


def test_what_is_no_pair_is_named(build):
  for bad in (("a", " "), ("a",)):
    with pytest.raises(UserError, match="pair 1: "):
      Model(build()).predict([("a", "b"), bad])


def test_an_export_needs_a_new_directory(build, tmp_path):
  with pytest.raises(UserError, match="exists: name a new directory"):
    Model(build()).export(str(tmp_path))

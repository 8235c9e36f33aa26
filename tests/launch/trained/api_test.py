"""A run is asked in a program of one's own."""

import os

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
  with pytest.raises(UserError, match="pair 1: the second sentence is empty"):
    Model(build()).predict([("a", "b"), ("a", " ")])
  for bad in ("a\tb", None, 5, ("a",), ("a", None), ("a", "b", "c")):
    with pytest.raises(UserError) as caught:
      Model(build()).predict([("a", "b"), bad])
    assert str(caught.value) == f"pair 1 is {bad!r}: give two texts, (a, b)."
  for bad in (("a", "b"), None):
    with pytest.raises(UserError, match="pair 0 is .*: give one text"):
      Model(build(text_b="")).predict([bad])
  for bad in ("abc", None, 5):
    with pytest.raises(UserError, match="is no list"):
      Model(build(text_b="")).predict(bad)


def test_an_export_needs_a_new_directory(build, tmp_path):
  with pytest.raises(UserError, match="exists: name a new directory"):
    Model(build()).export(str(tmp_path))


def test_an_export_that_another_process_makes_first_is_kept(
  build, tmp_path, monkeypatch
):
  model, target = Model(build()), tmp_path / "new"

  def export(model, form, directory):
    for place in (directory, target):  # The other one is as fast.
      os.makedirs(place)
    (target / "theirs").touch()

  monkeypatch.setattr(model.restored.task, "export", export, raising=False)
  with pytest.raises(UserError, match="new has been made meanwhile: name an"):
    model.export(str(target))
  assert os.listdir(tmp_path) == ["new"] and os.listdir(target) == ["theirs"]

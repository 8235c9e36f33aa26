"""What a run has noted of its data: it keeps the order that it began with."""

import json

import pytest

from engine.errors import Preempted, UserError
from engine.loop import order
from tests.engine.run.resume_test import NoticeAt, run


@pytest.fixture(scope="module")
def sorted_run(tmp_path_factory):
  return run(tmp_path_factory.mktemp("whole"))["weights_sha256"]


def noted(directory):
  return json.loads((directory / "data.json").read_text())


def stopped(directory):
  with pytest.raises(Preempted):
    run(directory, notices=NoticeAt(2))


def with_cipher(monkeypatch):
  """From here on new runs have what those of many examples have."""
  monkeypatch.setattr(order, "_SORTED", 0)


@pytest.mark.parametrize("notes", ["with the order", "none"])
def test_a_run_goes_on_in_the_order_that_it_began_with(
  tmp_path, monkeypatch, sorted_run, notes
):
  stopped(tmp_path)
  assert noted(tmp_path)["splits"]["train"]["order"] == "sort"
  if notes == "none":  # As runs had it before there was another order.
    (tmp_path / "data.json").unlink()
  with_cipher(monkeypatch)
  assert run(tmp_path)["weights_sha256"] == sorted_run
  assert noted(tmp_path)["splits"]["train"]["order"] == "sort"


def test_many_examples_are_ordered_by_the_cipher_from_then_on(
  tmp_path, monkeypatch, sorted_run
):
  with monkeypatch.context() as patch:
    with_cipher(patch)
    whole = run(tmp_path / "whole")["weights_sha256"]
    stopped(tmp_path / "run")
  assert whole != sorted_run
  assert noted(tmp_path / "run")["splits"]["train"]["order"] == "cipher"
  assert run(tmp_path / "run")["weights_sha256"] == whole


def test_notes_without_an_order_mean_that_of_their_number(tmp_path, sorted_run):
  stopped(tmp_path)
  notes = noted(tmp_path)
  del notes["splits"]["train"]["order"]
  (tmp_path / "data.json").write_text(json.dumps(notes))
  assert run(tmp_path)["weights_sha256"] == sorted_run


def test_an_order_of_a_newer_version_is_refused(tmp_path):
  stopped(tmp_path)
  notes = noted(tmp_path)
  notes["splits"]["train"]["order"] = "by length"
  (tmp_path / "data.json").write_text(json.dumps(notes))
  with pytest.raises(UserError, match="ordered by 'by length', which a newer"):
    run(tmp_path)

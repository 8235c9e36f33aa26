"""A run that has had checkpoints is not begun anew."""

import json
import os

import pytest

from engine.durability import manifest
from engine.durability.run_directory import RunDirectory
from engine.errors import CannotBeRead, UserError
from engine.run.found import check_not_lost
from tests.engine.durability.checkpoints_test import save

START = {"step": 0, "lost_to_restart": 0.0}
COMMITTED = {"step": 3, "committed": True}


@pytest.fixture
def run(tmp_path):
  directory = RunDirectory(str(tmp_path / "run"))
  os.makedirs(directory.path)
  return directory


def starts(run, *lines):
  with open(run.file("restarts.jsonl"), "w") as file:
    file.writelines(json.dumps(line) + "\n" for line in lines)


def listed(run):
  os.makedirs(run.checkpoints)
  with open(os.path.join(run.checkpoints, "checkpoint"), "w") as file:
    file.write('all_model_checkpoint_paths: "ckpt-3"\n')


def refused(run, trace):
  with pytest.raises(UserError, match=f"but {trace} says that there have"):
    check_not_lost(run)


@pytest.mark.parametrize(
  ("leave", "trace"),
  [
    (lambda run: save(run.best), "best/ckpt-3"),
    (listed, "checkpoints/checkpoint"),
    (lambda run: starts(run, START, COMMITTED), "restarts.jsonl"),
    (lambda run: starts(run, {**START, "step": 3}), "restarts.jsonl"),
    (
      lambda run: starts(run, {**START, "committed": False}, COMMITTED),
      "restarts.jsonl",
    ),
  ],
)
def test_what_says_that_there_have_been_some_is_named(run, leave, trace):
  check_not_lost(run)  # Nothing says so yet.
  leave(run)
  refused(run, trace)
  save(run.checkpoints)
  check_not_lost(run)


def test_where_none_ever_was_best_weights_do_not_ask_for_it(run):
  """Each save had failed when these were kept, or the run was stopped."""
  save(run.best)
  listed(run)
  stopped = {"step": 7, "ledger": {}}
  starts(run, {**START, "committed": False}, stopped)
  check_not_lost(run)
  starts(run, START, stopped)  # An older version said neither.
  refused(run, "best/ckpt-3")


def test_a_line_that_cannot_be_read_may_have_said_it(run):
  starts(run, {**START, "committed": False})
  with open(run.file("restarts.jsonl"), "a") as file:
    file.write("#\n")
  check_not_lost(run)
  save(run.best)
  refused(run, "best/ckpt-3")


def test_checkpoints_that_cannot_be_listed_are_not_none(run, monkeypatch):
  manifest.delete(save(run.checkpoints))

  def fails(path):
    raise OSError(5, "Input/output error")

  monkeypatch.setattr("engine.durability.own.os.listdir", fails)
  with pytest.raises(CannotBeRead, match="Input/output error"):
    check_not_lost(run)

"""apsis opens each door, and nothing in the current folder shuts it."""

import importlib.metadata
import os
import runpy
import subprocess
import sys

import pytest

from launch.command import console, door
from tests.support.testing import ROOT

# What the console script does, which starts without the current folder.
APSIS = "from launch.command.console import main; main()"
NO_RUN = "predict.py: `model_dir` x holds no run: name the directory that"


def said(folder, *words, path=ROOT):
  """Status and words of `python ...`, run in a folder, where Apsis is."""
  ended = subprocess.run(
    [sys.executable, *words],
    cwd=folder,
    env={**os.environ, "PYTHONPATH": path},
    capture_output=True,
    text=True,
  )
  return ended.returncode, ended.stdout, ended.stderr


def test_apsis_lists_all_doors_with_a_sentence_each(tmp_path):
  status, out, err = said(tmp_path, "-P", "-c", APSIS)
  assert (status, err) == (0, "")
  rows = dict(line.split(maxsplit=1) for line in out.splitlines()[2:])
  assert rows["predict"] == "Predicts with a trained run."
  assert {"train", "export", "report"} <= set(rows)
  assert not [x for x in rows if "_" in x]


def test_apsis_hands_the_flags_to_the_door(tmp_path):
  status, out, err = said(
    tmp_path, "-P", "-c", APSIS, "predict", "--model_dir=x"
  )
  assert (status, out) == (2, "")
  assert err.startswith("apsis " + NO_RUN.replace(".py", "", 1))


@pytest.mark.parametrize("by_name", [True, False])
def test_a_run_notes_the_words_that_opened_its_door(monkeypatch, by_name):
  monkeypatch.setattr(door, "by_name", False)
  monkeypatch.setattr(sys, "argv", ["apsis", "train", "--seed=1"])
  monkeypatch.setattr(runpy, "run_module", lambda *_, **__: None)
  if by_name:
    console.main()
  words = "apsis train" if by_name else "python -m launch.train"
  assert door.words_of("train") == words.split()


def test_apsis_names_the_doors_that_there_are(tmp_path):
  status, _, err = said(tmp_path, "-P", "-c", APSIS, "predikt")
  assert status == 2
  assert "There is no door 'predikt': did you mean predict? name one" in err
  assert "name one of checkpoints," in err


def test_apsis_tells_its_version(tmp_path):
  status, out, _ = said(tmp_path, "-P", "-c", APSIS, "--version")
  assert (status, out) == (0, f"apsis {importlib.metadata.version('apsis')}\n")


@pytest.mark.parametrize("name", ["tasks.py", "engine/__init__.py", "engine"])
def test_what_the_current_folder_holds_shadows_nothing(tmp_path, name):
  path = tmp_path / name
  path.parent.mkdir(exist_ok=True)
  if path.suffix:
    path.write_text("raise SystemExit('not Apsis')")
  else:
    path.mkdir()
  status, _, err = said(tmp_path, "-m", "launch.predict", "--model_dir=x")
  assert (status, err[: len(NO_RUN)]) == (2, NO_RUN)


def test_a_launch_of_ones_own_shadows_no_door_that_apsis_opens(tmp_path):
  (tmp_path / "launch.py").write_text("raise SystemExit('not Apsis')")
  status, out, err = said(
    tmp_path, "-P", "-c", APSIS, "cluster", "--", "--mode=none"
  )
  assert status == 2
  assert "not Apsis" not in out + err
  assert "flag --mode=none" in out


def test_what_stands_before_the_packages_is_named(tmp_path):
  (tmp_path / "path").mkdir()
  other = tmp_path / "path" / "tasks.py"
  other.touch()
  status, out, err = said(
    tmp_path, "-m", "launch.train", "--help", path=f"{other.parent}:{ROOT}"
  )
  assert (status, out) == (2, "")
  assert err == (
    f"{other} is found before {ROOT}/tasks, which is Apsis's: rename it, or "
    "take its folder off PYTHONPATH.\n"
  )


def test_in_a_checkout_what_stands_beside_the_packages_is_found(monkeypatch):
  """The console command of an editable installation has no folder for it."""
  there = os.path.realpath(ROOT)
  others = [x for x in sys.path if os.path.realpath(x) != there]
  monkeypatch.setattr(sys, "path", [*sys.path])
  package = runpy.run_path(os.path.join(ROOT, "launch", "__init__.py"))
  for path, then in (
    (others, [*others, there]),
    ([there, *others], [there, *others]),
  ):
    monkeypatch.setattr(sys, "path", [*path])
    package["_own_packages_first"](there, there)
    assert sys.path == then


def test_a_folder_that_is_gone_is_no_hindrance(tmp_path):
  (tmp_path / "gone").mkdir()
  leave = "import os; os.chdir('gone'); os.rmdir('../gone'); "
  status, out, err = said(
    tmp_path, "-P", "-c", leave + APSIS, "train", "--help"
  )
  assert (status, err) == (0, "")
  assert "--model_dir" in out

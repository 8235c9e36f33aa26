"""A search goes on after a kill to the trials of the undisturbed one."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from engine.config import CheckpointConfig, ExperimentConfig
from engine.errors import UserError
from engine.measure.goal import Goal
from launch.jobs import search as room
from launch.jobs.output import Output
from launch.jobs.search import Search
from launch.jobs.space import Dimension, check_library
from launch.jobs.study import goal_of_run, open_study
from launch.pages import search_report
from tasks.config import SentencePairConfig

pytest.importorskip("optuna")

# In the place of launch.train: four evaluations, best where x is 3.
FAKE = """
import json, os, sys
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
x = json.loads(given["params_override"])["task"]["x"]
kind = json.loads(given["params_override"])["task"]["kind"]
path = given["model_dir"]
os.makedirs(path, exist_ok=True)
with open(path + "/runs", "a") as file:
  file.write(json.dumps([x, kind]) + "\\n")
if os.path.exists(given["die"]):
  os.unlink(given["die"])
  os.kill(os.getpid(), 9)
if x > 9.9:
  sys.exit(1)
with open(path + "/metrics.jsonl", "w") as file:
  for step in range(1, 5):
    score = step - abs(x - 3) - (kind == "bad")
    line = {"step": step, "kind": "eval", "score": score}
    file.write(json.dumps(line) + "\\n")
result = {
  "global_step": 4, "eval": {}, "train": {"timed_steps": 0}, "ledger": {},
  "checkpoints": {"stall_seconds_mean": 0}, "replicas": 1,
  "precision": "float32", "command": "",
}
with open(path + "/result.json", "w") as file:
  json.dump(result, file)
"""
SPACE = [
  Dimension("task.x", low=0.0, high=9.0),
  Dimension("task.kind", choices=("good", "bad")),
]
FACTS = {"space": [x.facts() for x in SPACE]}


def search_in(directory, *, space=SPACE, prunes=False, seed=0):
  directory.mkdir(exist_ok=True)
  (directory / "train.py").write_text(FAKE)
  command = [sys.executable, str(directory / "train.py")]
  return Search(
    open_study(str(directory), FACTS, prunes=prunes),
    space,
    directory=str(directory),
    goal=Goal("score", 1),
    command=[*command, f"--die={directory / 'die'}"],
    overrides={"task": {"y": 1}},
    seed=seed,
    output=Output(sys.stdout),
  )


@pytest.fixture(autouse=True)
def fast(monkeypatch):
  monkeypatch.setattr(room, "_TICK", 0.01)


def test_trials_get_better_and_the_best_is_known(tmp_path):
  found = search_in(tmp_path)
  assert found.run(8) == ""
  records = found.records()
  assert [x["trial"] for x in records] == list(range(8))
  assert {x["state"] for x in records} == {"complete"}
  (best,) = found.best(1)
  assert best["value"] == max(x["value"] for x in records)
  for x in records:
    settings = x["settings"]
    off = abs(settings["task.x"] - 3) + (settings["task.kind"] == "bad")
    assert x["value"] == pytest.approx(4 - off)
    assert len(x["evaluations"]) == 4


def test_a_search_whose_run_is_killed_goes_on_with_that_trial(tmp_path):
  whole = search_in(tmp_path / "whole")
  whole.run(5)
  cut = search_in(tmp_path / "cut")
  cut.run(2)
  (tmp_path / "cut" / "die").touch()
  assert cut.run(5) == "trial 2 ended with status 137"
  again = search_in(tmp_path / "cut")
  assert again.run(5) == ""
  assert again.records() == whole.records()
  assert len((tmp_path / "cut/trial_2/runs").read_text().splitlines()) == 2


def test_a_trial_of_which_half_the_settings_were_chosen_goes_on(tmp_path):
  whole = search_in(tmp_path / "whole")
  whole.run(4)
  cut = search_in(tmp_path / "cut")
  cut.run(3)
  begun = search_in(tmp_path / "cut", space=SPACE[:1])._next(4)
  assert [*begun.params] == ["task.x"]
  again = search_in(tmp_path / "cut")
  again.run(4)
  assert again.records() == whole.records()


def test_a_trial_below_the_median_is_cut_short(tmp_path):
  """Also where its run has ended before anybody looked."""
  found = search_in(tmp_path, prunes=True)
  found.run(14)
  states = [x["state"] for x in found.records()]
  assert set(states[:4]) == {"complete"} and "pruned" in states
  pruned = [x for x in found.records() if x["state"] == "pruned"]
  assert all(len(x["evaluations"]) < 4 for x in pruned)
  assert found.best(99) and not {x["trial"] for x in found.best(99)} & {
    x["trial"] for x in pruned
  }


def test_what_diverges_fails_and_the_search_goes_on(tmp_path):
  space = [Dimension("task.x", low=9.95, high=9.99), SPACE[1]]
  found = search_in(tmp_path, space=space)
  assert found.run(2) == ""
  assert [x["state"] for x in found.records()] == ["fail", "fail"]
  assert found.best(1) == []


def test_more_trials_are_added_and_none_is_made_again(tmp_path):
  search_in(tmp_path).run(3)
  found = search_in(tmp_path)
  found.run(3)
  found.run(4)
  assert len(found.records()) == 4
  for i in range(4):
    assert len((tmp_path / f"trial_{i}/runs").read_text().splitlines()) == 1


def test_another_search_in_the_same_place_is_refused(tmp_path):
  open_study(str(tmp_path), FACTS, prunes=True)
  other = {"space": FACTS["space"][:1]}
  with pytest.raises(UserError, match="another search, which differs in space"):
    open_study(str(tmp_path), other, prunes=True)
  (tmp_path / "broken").mkdir()
  (tmp_path / "broken" / "search.db").write_bytes(b"no database" * 100)
  with pytest.raises(UserError, match="search.db cannot be read"):
    open_study(str(tmp_path / "broken"), FACTS, prunes=True)


def test_without_optuna_the_cure_is_said(monkeypatch):
  check_library()
  monkeypatch.setitem(sys.modules, "optuna", None)
  with pytest.raises(UserError, match="is not there: pip install optuna"):
    check_library()


def test_the_goal_of_a_run_is_known_without_its_data():
  pairs = lambda **x: ExperimentConfig(task=SentencePairConfig(**x))
  assert goal_of_run(pairs()) == Goal("accuracy", 1)
  assert goal_of_run(pairs(name="stsb")) == Goal("pearson", 1)
  assert goal_of_run(
    ExperimentConfig(
      task=SentencePairConfig(),
      checkpoint=CheckpointConfig(best_metric="loss"),
    )
  ) == Goal("loss", -1)


def test_the_page_shows_trials_the_best_first(tmp_path):
  found = search_in(tmp_path, prunes=True)
  found.run(12)
  trials = found.records()
  finalists = [
    {
      "trial": 3,
      "settings": {},
      "spread": {"runs": 2, "mean": 0.5, "interval": [0.4, 0.6]},
    }
  ]
  goal = Goal("score", 1)
  search_report.write(trials, finalists, str(tmp_path), goal)
  kept = json.loads((tmp_path / "search.json").read_text())
  assert len(kept["trials"]) == 12 and kept["direction"] == "max"
  text = (tmp_path / "search.html").read_text()
  assert "best so far" in text and "[0.4000, 0.6000]" in text
  assert text.count("<svg") == 3  # The setting, the trials, evaluations.
  lines = search_report.table(trials, goal)
  assert lines[1].split()[0] == str(found.best(1)[0]["trial"])
  assert len(lines) == 13


def likelihood(labels, outputs):
  """The mean of its logarithm: the loss with another sign."""
  logits = outputs[np.arange(len(labels)), labels]
  return (logits - np.logaddexp.reduce(outputs, axis=-1)).mean()


def test_a_metric_that_is_not_there_is_refused_before_the_first(tmp_path):
  (tmp_path / "space.yaml").write_text("dropout: [0.0, 0.1]\n")
  ended = subprocess.run(
    [
      *(sys.executable, "-m", "launch.search"),
      *(f"--space={tmp_path / 'space.yaml'}", "--metric=operator:kappa"),
      *("--best_metric=kappa", f"--model_dir={tmp_path / 'new'}"),
    ],
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 2
  assert "`metric` is 'operator:kappa', which is no function" in ended.stderr
  assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_eight_trials_with_the_tiny_encoder_killed_once(tmp_path):
  (tmp_path / "space.yaml").write_text(
    "learning_rate: {low: 1e-5, high: 1e-2, log: true}\n"
    "dropout: [0.0, 0.1]\nglobal_batch_size: [8, 16]\n"
  )
  command = (
    *(sys.executable, "-m", "launch.search", "--task=demo", "--encoder=tiny"),
    *("--train_steps=20", "--eval_interval=5", "--checkpoint_interval=2"),
    *(f"--metric={__name__}:likelihood", "--best_metric=likelihood"),
    *(f"--space={tmp_path / 'space.yaml'}", "--trials=8"),
  )

  def records(directory):
    kept = json.loads((tmp_path / directory / "search.json").read_text())
    return kept["trials"]

  whole = [*command, f"--model_dir={tmp_path / 'whole'}"]
  subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
  cut = [*command, f"--model_dir={tmp_path / 'cut'}"]
  process = subprocess.Popen(cut, stdout=subprocess.PIPE, text=True)
  for line in process.stdout:  # In the middle of the third run.
    if line.startswith("[trial 2] step 10/20"):
      os.kill(process.pid, signal.SIGKILL)
      break
  process.wait()
  process.stdout.close()
  seeds = ["--seeds=0-1", "--finalists=2"]
  ended = subprocess.run(
    [*cut, *seeds], check=True, stdout=subprocess.PIPE, text=True
  )
  assert records("cut") == records("whole")
  assert len(records("cut")) == 8
  for trial in records("cut"):  # By the metric that was named.
    path = tmp_path / "cut" / f"trial_{trial['trial']}" / "metrics.jsonl"
    points = [*map(json.loads, path.read_text().splitlines())]
    losses = [-x["loss"] for x in points if x["kind"] == "eval"]
    told = [*trial["evaluations"].values()]
    assert told == pytest.approx(losses[: len(told)], abs=1e-5)
    assert len(told) > 0
  assert "resumed at step" in ended.stdout  # The trial that was cut off.
  finalists = json.loads((tmp_path / "cut/search.json").read_text())[
    "finalists"
  ]
  assert [x["spread"]["runs"] for x in finalists] == [2, 2]
  assert "best: trial" in ended.stdout

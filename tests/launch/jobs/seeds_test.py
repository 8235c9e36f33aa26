"""Several seeds: each a run of its own, and what they say together."""

import json
import math
import os
import signal
import subprocess
import sys

import psutil
import pytest

from engine.errors import UserError
from launch.jobs.seeds import parse_seeds, run_all, status_of
from launch.pages import seed_report
from tests.support.doors import Door, enter

DIGITS = (
  "--task=examples.digits:Digits",
  "--train_steps=150",
  "--checkpoint_interval=10",
  "--steps_per_loop=1",
)
TINY = (
  "--task=demo",
  "--encoder=tiny",
  "--train_steps=60",
  "--checkpoint_interval=5",
  "--steps_per_loop=1",
)


@pytest.mark.parametrize(
  ("text", "seeds"),
  [("0-3", [0, 1, 2, 3]), ("0,3,5", [0, 3, 5]), ("7, 0-1", [7, 0, 1])],
)
def test_seeds_are_a_range_or_a_list(text, seeds):
  assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
  ("text", "complaint"),
  [
    ("x", "must be like 0-9 or 0,3,5"),
    ("3-1", "must be like"),
    ("1,", "must be like"),
    ("-1", "must be like"),
    ("0-2,1", "names a seed twice"),
  ],
)
def test_what_names_no_seeds_is_refused(text, complaint):
  with pytest.raises(UserError, match=complaint):
    parse_seeds(text)


@pytest.mark.parametrize(
  ("flags", "complaint"),
  [
    (["--seed=3"], "`seeds` and `seed` are both given"),
    (["--params_override=train.seed=3"], "`seeds` and `seed` are both given"),
    (["--mode=eval"], "`mode` is 'eval', but --seeds compares evaluations"),
    (["--worker_hosts=a:1,b:1"], "has 2 workers: give each run"),
    (["--seeds=2147483648"], "`seed` is 2147483648, but must be"),
  ],
)
def test_what_does_not_go_with_seeds_is_refused(tmp_path, flags, complaint):
  ended = enter(
    tmp_path,
    "launch.train",
    "--task=demo",
    f"--model_dir={tmp_path / 'm'}",
    "--seeds=0-1",
    *flags,
  )
  assert ended.status == 2
  assert complaint in ended.err
  assert ended.err.count("\n") == 1
  assert not (tmp_path / "m").exists()


class Scripts:
  """Processes that do what a script says; notes when each begins."""

  def __init__(self, script):
    self._script = script
    self.begun = []
    self.together = 0
    self._running = []

  def start(self, seed, variables):
    process = subprocess.Popen(
      [sys.executable, "-c", self._script, str(seed)],
      stdout=subprocess.PIPE,
      env={**os.environ, **variables},
    )
    self.begun.append((seed, variables.get("CUDA_VISIBLE_DEVICES")))
    self._running = [p for p in self._running if p.poll() is None] + [process]
    self.together = max(self.together, len(self._running))
    return process


def run_scripts(tmp_path, script, seeds=(0, 1, 2), devices=("",)):
  scripts = Scripts(script)
  ended, told = run_all(
    seeds,
    start=scripts.start,
    devices=devices,
    stop_file=str(tmp_path / "stop"),
  )
  return scripts, ended, told


def test_on_one_device_the_runs_take_turns(tmp_path):
  scripts, ended, told = run_scripts(tmp_path, "pass")
  assert scripts.begun == [(0, None), (1, None), (2, None)]
  assert scripts.together == 1
  assert ended == {0: 0, 1: 0, 2: 0} and not told
  assert status_of(ended.values(), told=False) == 0


def test_each_device_has_one_run_at_a_time(tmp_path):
  """The first two meet, so both run; the third has the device of one."""
  script = (
    f"import os, sys; os.chdir({str(tmp_path)!r}); n = int(sys.argv[1])\n"
    "open(str(n), 'w').close()\n"
    "while n < 2 and not os.path.exists(str(1 - n)): pass"
  )
  scripts, ended, _ = run_scripts(tmp_path, script, devices=("4", "7"))
  assert scripts.together == 2
  assert scripts.begun[:2] == [(0, "4"), (1, "7")]
  assert scripts.begun[2] in [(2, "4"), (2, "7")]
  assert ended == {0: 0, 1: 0, 2: 0}


def test_a_run_that_fails_or_is_killed_ends_for_itself(tmp_path):
  script = (
    "import os, sys; n = int(sys.argv[1])\n"
    "if n == 1: os.kill(os.getpid(), 9)\n"
    "sys.exit(n == 0)"
  )
  _, ended, _ = run_scripts(tmp_path, script)
  assert ended == {0: 1, 1: 137, 2: 0}
  assert status_of(ended.values(), told=False) == 137


@pytest.mark.parametrize("status", [2, os.EX_TEMPFAIL])
def test_a_mistake_or_a_notice_ends_the_others_and_begins_no_more(
  tmp_path, status
):
  """The second run gets SIGTERM, as a run that can save."""
  script = (
    f"import os, signal, sys, time; os.chdir({str(tmp_path)!r})\n"
    "if sys.argv[1] == '0':\n"
    "  while not os.path.exists('ready'): pass\n"
    f"  sys.exit({status})\n"
    f"signal.signal(signal.SIGTERM, lambda *_: sys.exit({os.EX_TEMPFAIL}))\n"
    "open('ready', 'w').close()\n"
    "while True: signal.pause()"
  )
  scripts, ended, _ = run_scripts(tmp_path, script, devices=("0", "1"))
  assert ended == {0: status, 1: os.EX_TEMPFAIL}
  assert len(scripts.begun) == 2
  assert status_of(ended.values(), told=False) == status


@pytest.mark.parametrize("how", ["file", "SIGTERM", "SIGINT"])
def test_a_notice_is_handed_on_and_no_run_follows(tmp_path, how):
  stop = tmp_path / "stop"
  tell = f"open({str(stop)!r}, 'w').close()"
  if how != "file":
    tell = f"os.kill(os.getppid(), signal.{how})"
  script = (
    "import os, signal, sys\n"
    "for n in (signal.SIGTERM, signal.SIGINT):\n"
    f"  signal.signal(n, lambda *_: sys.exit({os.EX_TEMPFAIL}))\n"
    f"{tell}\n"
    "while True: signal.pause()"
  )
  _, ended, told = run_scripts(tmp_path, script)
  assert ended == {0: os.EX_TEMPFAIL}
  assert told == (f"the file {stop}" if how == "file" else how)
  assert not stop.exists()
  assert status_of(ended.values(), told=True) == os.EX_TEMPFAIL


def test_the_interval_is_students():
  found = seed_report.spread([1.0, 2.0, 3.0])
  assert (found["mean"], found["deviation"]) == (2.0, 1.0)
  half = 4.302653 / math.sqrt(3)  # Student's t, 2 degrees of freedom, 97.5 %.
  assert found["interval"] == pytest.approx([2 - half, 2 + half], abs=1e-5)
  one = seed_report.spread([0.5])
  assert (one["mean"], one["deviation"], one["interval"]) == (0.5, None, None)


@pytest.mark.parametrize(
  ("evaluation", "why"),
  [
    ({"accuracy": 0.684, "majority": 0.6838}, "accuracy 0.6840, the majority"),
    ({"accuracy": 0.316, "majority": 0.6838}, "accuracy 0.3160"),
    ({"accuracy": 0.70, "majority": 0.6838}, ""),
    ({"pearson": 0.02, "loss": 2.0}, "pearson 0.0200"),
    ({"pearson": float("nan")}, "pearson is undefined"),
    ({"pearson": None}, "pearson is undefined"),
    ({"pearson": -0.9}, ""),
    ({"loss": 1.0}, ""),
  ],
)
def test_a_run_near_the_majority_class_has_collapsed(evaluation, why):
  found = seed_report.collapse_of(evaluation)
  assert found.startswith(why) and bool(found) == bool(why)


def result_of(accuracy, early=False):
  return {
    "global_step": 40,
    "stopped_early": early,
    "weights_sha256": "00",
    "eval": {
      "loss": float("nan") if accuracy < 0.7 else 0.5,
      "accuracy": accuracy,
      "majority": 0.6838,
      "examples_seen": 408,
      "confusion": [[1, 2], [3, 4]],
    },
  }


def test_the_report_names_collapsed_runs_and_counts_without_them():
  report = seed_report.summarize(
    {0: result_of(0.80), 1: result_of(0.6838), 2: result_of(0.82, early=True)},
    {5: "ended with status 137: killed"},
  )
  assert report["collapsed"] == [1]
  accuracy = report["metrics"]["accuracy"]
  assert accuracy["runs"] == 3
  assert accuracy["mean"] == pytest.approx((0.80 + 0.6838 + 0.82) / 3)
  assert report["metrics_without_collapsed"]["accuracy"]["mean"] == (
    pytest.approx(0.81)
  )
  assert report["metrics"]["loss"]["runs"] == 2  # One is undefined.
  assert json.loads(json.dumps(report, allow_nan=False)) == report
  lines = seed_report.table(report)
  assert lines[0].split() == ["seed", "loss", "accuracy"]
  assert "collapsed: accuracy 0.6838" in lines[2]
  assert lines[3].endswith("stopped early at step 40")
  assert lines[4].split()[:3] == ["5", "-", "-"] and "status 137" in lines[4]
  assert lines[5].split() == ["mean", "0.5000", "0.7679"]
  assert lines[-2].endswith("without the collapsed")
  assert lines[-1].startswith("collapsed: 1 (accuracy at most 0.01 over")


@pytest.mark.parametrize(
  "flags", [DIGITS, pytest.param(TINY, marks=pytest.mark.slow)]
)
def test_seeds_killed_in_the_middle_go_on(tmp_path, flags):
  """What has finished is not run again; the rest ends as if never killed."""
  model_dir, alone = tmp_path / "m", tmp_path / "alone"
  for seed, directory in ((0, model_dir / "seed_0"), (1, alone)):
    ended = enter(
      tmp_path,
      "launch.train",
      *flags,
      f"--seed={seed}",
      f"--model_dir={directory}",
    )
    assert ended.status == 0, ended.err
  command = ("launch.train", *flags, f"--model_dir={model_dir}", "--seeds=0-1")
  before = (model_dir / "seed_0" / "result.json").stat().st_mtime_ns

  door = Door(tmp_path, *command)
  metrics = model_dir / "seed_1" / "metrics.jsonl"
  while not metrics.exists() or metrics.read_text().count("\n") < 8:
    assert door.process.is_alive()
    door.process.join(0.01)
  (child,) = psutil.Process(door.process.pid).children()
  child.kill()
  ended = door.end()
  assert ended.status == 128 + signal.SIGKILL, ended.err
  assert "seed 0: finished before" in ended.out
  report = json.loads((model_dir / "seeds.json").read_text())
  assert [run["finished"] for run in report["runs"]] == [True, False]

  ended = enter(tmp_path, *command, "--quiet")
  assert ended.status == 0, ended.out + ended.err
  assert ended.out.startswith("seed ")  # The table alone.
  report = json.loads((model_dir / "seeds.json").read_text())
  whole = json.loads((alone / "result.json").read_text())
  assert report["runs"][1]["weights_sha256"] == whole["weights_sha256"]
  assert report["metrics"]["accuracy"]["runs"] == 2
  assert (model_dir / "seed_0" / "result.json").stat().st_mtime_ns == before
  resumed = json.loads((model_dir / "seed_1" / "result.json").read_text())
  assert resumed["restarts"] == 1

  refused = enter(tmp_path, *command, "--learning_rate=0.5")
  assert refused.status == 2
  assert "optimizer.learning_rate: 0.0" in refused.err

"""Processes take turns on devices, and end together where they must."""

import os
import subprocess
import sys

import pytest

from launch.jobs.turns import run_all, status_of


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

"""Ranks that die or stand still are named, ended and started again."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from engine.process.progress import VARIABLE, read_progress
from engine.process.supervisor import Supervisor
from engine.process.watch import Restarts, Watch
from launch.jobs.output import Output

ROOT = os.path.abspath(__file__).rsplit("/tests/", 1)[0]
HANGS = 60.0  # Seconds; nothing here needs a tenth of it.
HEAD = f"""
import os, signal, sys, time
sys.path.insert(0, {ROOT!r})
from engine.process.progress import Progress
progress = Progress()
rank, lives = int(sys.argv[1]), sys.argv[2]
def first_life():
  path = os.path.join(lives, str(rank))
  with open(path, "a") as file: file.write("x")
  return os.path.getsize(path) == 1
def die(number=signal.SIGKILL):
  os.kill(os.getpid(), number)
"""


def until(condition):
  end = time.monotonic() + HANGS
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.01)


class Job:
  """Ranks that are scripts, under a supervisor in this process."""

  def __init__(self, directory, *scripts, **settings):
    self.directory = directory
    self.scripts = scripts
    self.lives = [0] * len(scripts)
    self.paths = {}
    self.processes = {}
    self.printed = io.StringIO()
    self.output = Output(self.printed)
    self.supervisor = Supervisor(
      start=self.start,
      names=[f"worker {index}" for index in range(len(scripts))],
      last_line=self.output.last_line,
      **{"grace": 5.0, "stall_timeout": HANGS, **settings},
    )

  def start(self, index, variables):
    self.lives[index] += 1
    self.paths[index] = variables[VARIABLE]
    script = HEAD + self.scripts[index]
    command = [sys.executable, "-c", script, str(index), str(self.directory)]
    process = self.output.start(index, command, {**os.environ, **variables})
    self.processes[index] = process
    return process

  def run(self):
    return self.supervisor.run()


@contextlib.contextmanager
def meanwhile(job, action):
  """Runs an action beside the supervisor, which needs the main thread."""

  def act():
    try:
      action()
    except BaseException:
      os.kill(os.getpid(), signal.SIGINT)
      for process in job.processes.values():
        process.kill()
      raise

  thread = threading.Thread(target=act)
  thread.start()
  yield
  thread.join()


def quick(monkeypatch):
  """Makes the waits between two lives short."""
  following = Restarts.next

  def next_(self, step):
    wait = following(self, step)
    return wait and wait / 1000

  monkeypatch.setattr(Restarts, "next", next_)


def test_a_job_whose_rank_is_killed_once_is_restarted(tmp_path, capsys):
  job = Job(
    tmp_path,
    "if not first_life(): sys.exit(0)\n"
    "while True: time.sleep(0.01)",  # Until it is ended.
    "if not first_life(): sys.exit(0)\nprogress.report('step', step=40)\ndie()",
    max_restarts=3,
    grace=0.3,
  )
  assert job.run() == 0
  assert job.lives == [2, 2]
  assert capsys.readouterr().err == (
    "restart 1 of 3: worker 1 was killed by SIGKILL at step 40 (step); "
    "waiting 0.5 s\n"
  )


def test_a_lost_peer_is_not_what_failed_first(tmp_path, capsys):
  """Worker 0 ends before worker 1, as one that has lost it."""
  job = Job(
    tmp_path,
    "sys.exit(75)",
    "while not os.path.exists(os.path.join(lives, 'ended')): pass\nsys.exit(3)",
  )

  def let_end():
    until(lambda: 0 in job.processes and job.processes[0].returncode == 75)
    (tmp_path / "ended").touch()

  with meanwhile(job, let_end):
    assert job.run() == 3
  line = "worker 1 ended with status 3 at step 0 (start_up) after 0 restarts\n"
  assert capsys.readouterr().err == line


def test_without_restarts_a_failure_ends_the_job(tmp_path, capsys):
  job = Job(tmp_path, "print('out of memory'); die()")
  assert job.run() == 128 + signal.SIGKILL
  assert job.lives == [1]
  assert capsys.readouterr().err == (
    "worker 0 was killed by SIGKILL at step 0 (start_up) after 0 restarts; "
    "its last line: out of memory\n"
  )


def test_a_users_mistake_is_never_restarted(tmp_path, capsys):
  job = Job(
    tmp_path,
    "print('train.py: `lr` is -1: use a positive one.\\n'); sys.exit(2)",
    "time.sleep(60)",
    max_restarts=5,
    grace=0.0,
  )
  assert job.run() == 2
  assert job.lives == [1, 1]
  line = capsys.readouterr().err
  assert line.count("\n") == 1
  assert line.endswith("last line: train.py: `lr` is -1: use a positive one.\n")


def test_a_crash_loop_gives_up_with_the_last_words(
  tmp_path, capsys, monkeypatch
):
  quick(monkeypatch)
  job = Job(
    tmp_path,
    "progress.report('other', step=7)\n"
    "print('no such device\\n\\n')\n"
    "sys.exit(1)",
    max_restarts=2,
  )
  assert job.run() == 1
  assert job.lives == [3]
  lines = capsys.readouterr().err.splitlines()
  assert [line[:14] for line in lines[:-1]] == [
    "restart 1 of 2",
    "restart 2 of 2",
  ]
  assert lines[-1] == (
    "worker 0 ended with status 1 at step 7 (other) after 2 restarts; its last "
    "line: no such device"
  )


def test_progress_renews_the_budget_of_restarts(tmp_path, monkeypatch, capsys):
  quick(monkeypatch)
  job = Job(
    tmp_path,
    "first_life()\n"
    "life = os.path.getsize(os.path.join(lives, str(rank)))\n"
    "progress.report('step', step=min(life, 4))\n"
    "die()",
    max_restarts=1,
  )
  assert job.run() == 128 + signal.SIGKILL
  assert job.lives == [5]  # Steps 1, 2, 3, 4, and 4 once more.
  assert "after 4 restarts" in capsys.readouterr().err


def test_a_stopped_rank_is_noticed_named_and_killed(tmp_path, capsys):
  """The others stand still too, since they wait for it."""
  waits = (
    "progress.report('step', step=12)\n"
    "if not first_life(): sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
  )
  job = Job(
    tmp_path,
    waits + "time.sleep(60)",
    waits + "die(signal.SIGSTOP)",
    waits + "time.sleep(60)",
    max_restarts=1,
    stall_timeout=1.5,
    grace=0.3,
  )
  assert job.run() == 0
  assert job.lives == [2, 2, 2]
  assert capsys.readouterr().err == (
    "restart 1 of 1: worker 1 was found stopped, as by SIGSTOP, and killed at "
    "step 12 (step); waiting 0.5 s\n"
  )


def test_a_rank_that_hangs_is_named_and_not_those_who_wait_for_it(
  tmp_path, capsys
):
  job = Job(
    tmp_path,
    "progress.report('step', step=12); time.sleep(60)",
    "progress.report('input_wait', step=12); time.sleep(60)",
    stall_timeout=1.5,
    grace=0.3,
  )
  assert job.run() == 128 + signal.SIGKILL
  assert re.fullmatch(
    r"worker 1 stood still for \S+ s and was killed at step 12 \(input_wait\) "
    r"after 0 restarts\n",
    capsys.readouterr().err,
  )


def test_a_stopped_rank_is_the_one_to_blame_where_others_notice_first(
  tmp_path, capsys
):
  job = Job(
    tmp_path,
    "while not os.path.exists(os.path.join(lives, 'came')): pass\nsys.exit(75)",
    "progress.report('meeting')\n"
    "open(os.path.join(lives, 'came'), 'w').close()\n"
    "die(signal.SIGSTOP)",
    grace=0.5,
  )
  assert job.run() == 128 + signal.SIGKILL
  assert capsys.readouterr().err.startswith("worker 1 was found stopped")


def test_a_rank_that_waits_in_a_meeting_is_not_killed(tmp_path):
  job = Job(
    tmp_path,
    "progress.report('meeting')\n"
    "while not os.path.exists(os.path.join(lives, 'came')): time.sleep(0.01)",
    stall_timeout=1.0,
  )
  looked = []
  look = Watch.look

  class Counting(Watch):
    def look(self, **seen):
      looked.append(self.phase)
      if looked.count("meeting") == 8:  # Each a fifth of the time-out.
        (tmp_path / "came").touch()
      return look(self, **seen)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr("engine.process.supervisor.Watch", Counting)
    assert job.run() == 0
  assert job.lives == [1]


def test_cpu_time_of_a_rank_that_compiles_is_seen(tmp_path):
  job = Job(
    tmp_path,
    "progress.report('compile')\nwhile time.process_time() < 2: pass",
    stall_timeout=1.0,
  )
  assert job.run() == 0


def test_who_waits_for_a_rank_at_work_is_not_killed(tmp_path):
  """A long save of the chief, say, while the others are in a collective."""
  done = "os.path.join(lives, 'saved')"
  job = Job(
    tmp_path,
    "progress.report('checkpoint', step=5)\n"
    f"while time.process_time() < 4.0: pass\nopen({done}, 'w').close()",
    "progress.report('step', step=5)\n"
    f"while not os.path.exists({done}): time.sleep(0.01)",
    stall_timeout=3.0,  # Others may have the cores for a while.
    max_restarts=1,
  )
  assert job.run() == 0
  assert job.lives == [1, 1]


def test_a_signal_to_the_supervisor_is_handed_on_once(tmp_path, capsys):
  """SIGTERM twice: the ranks get it once, and no restart follows."""
  job = Job(
    tmp_path,
    "told = []\n"
    "signal.signal(signal.SIGTERM, lambda *_: told.append(1))\n"
    "progress.report('step', step=3)\n"
    "while not told: time.sleep(0.01)\n"
    "progress.report('checkpoint', stopped='SIGTERM')\n"
    "while not os.path.exists(os.path.join(lives, 'sent')): time.sleep(0.01)\n"
    "time.sleep(0.3)\n"  # Saves for longer than the grace.
    "print('told', len(told), 'times')\n"
    "sys.exit(75)",
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
    "progress.report('step', step=3)\n"
    "while True: time.sleep(0.01)",
    max_restarts=5,
    grace=0.0,
  )

  def phase(index):
    return (read_progress(job.paths.get(index, "")) or {}).get("phase")

  def send():
    until(lambda: phase(0) == phase(1) == "step")
    os.kill(os.getpid(), signal.SIGTERM)
    until(lambda: phase(0) == "checkpoint")
    os.kill(os.getpid(), signal.SIGTERM)
    (tmp_path / "sent").touch()

  with meanwhile(job, send):
    assert job.run() == os.EX_TEMPFAIL
  assert job.lives == [1, 1]
  job.output.drain()
  assert job.printed.getvalue() == "told 1 times\n"
  assert "since SIGTERM told the job to stop" in capsys.readouterr().err
  assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_interrupt_kills(tmp_path):
  job = Job(
    tmp_path,
    "signal.signal(\n"
    "  signal.SIGINT, lambda *_: progress.report('checkpoint'))\n"
    "progress.report('step')\n"
    "while True: time.sleep(0.01)",
    max_restarts=5,
  )

  def phase():
    return (read_progress(job.paths.get(0, "")) or {}).get("phase")

  def send():
    for expected in ("step", "checkpoint"):
      until(lambda: phase() == expected)  # noqa: B023
      os.kill(os.getpid(), signal.SIGINT)

  with meanwhile(job, send):
    assert job.run() == 128 + signal.SIGKILL
  assert job.lives == [1]


def test_a_signal_between_two_lives_ends_the_job(tmp_path, capsys):
  def sleep(seconds):
    if job.processes[0].returncode is not None:
      os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(seconds)

  job = Job(tmp_path, "sys.exit(1)", max_restarts=5, sleep=sleep)
  assert job.run() == 1
  assert job.lives == [1]
  assert "after 0 restarts, since SIGUSR1" in capsys.readouterr().err


@pytest.mark.parametrize("reason", ["the file /m/stop", "SIGINT"])
def test_where_somebody_wants_the_end_no_restart_follows(
  tmp_path, capsys, reason
):
  job = Job(
    tmp_path,
    f"progress.report(stopped={reason!r}); sys.exit(75)",
    max_restarts=5,
  )
  assert job.run() == os.EX_TEMPFAIL
  assert job.lives == [1]
  assert f"since {reason} told the job to stop" in capsys.readouterr().err


def test_a_preempted_rank_is_restarted(tmp_path):
  """Its host lives: only this process was told to stop."""
  job = Job(
    tmp_path,
    "if first_life(): progress.report(stopped='SIGTERM'); sys.exit(75)",
    max_restarts=1,
  )
  assert job.run() == 0
  assert job.lives == [2]


def test_where_a_rank_cannot_be_started_none_is_left_behind(tmp_path):
  job = Job(tmp_path, "time.sleep(60)", "")
  start = job.start

  def refuse(index, variables):
    if index:
      raise OSError("no more processes")
    return start(index, variables)

  job.supervisor._start = refuse
  with pytest.raises(OSError, match="no more processes"):
    job.run()
  assert job.processes[0].poll() == -signal.SIGTERM


def test_where_the_supervisor_is_killed_its_rank_is_told_to_stop(tmp_path):
  rank = (
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(\n"
    "  open(os.path.join(lives, 'told'), 'w').close()))\n"
    "open(os.path.join(lives, 'ready'), 'w').close()\n"
    "while True: time.sleep(0.01)"
  )
  parent = (
    "import os, sys\n"
    "from launch.jobs.output import Output\n"
    "Output(sys.stdout).start(0, sys.argv[1:], os.environ).wait()"
  )
  command = [sys.executable, "-c", HEAD + rank, "0", str(tmp_path)]
  supervisor = subprocess.Popen(
    [sys.executable, "-c", parent, *command], cwd=ROOT
  )
  until((tmp_path / "ready").exists)
  supervisor.kill()
  supervisor.wait()
  until((tmp_path / "told").exists)

"""Samples of the campaigns of tests/support/attack, and of their own parts."""

import errno
import os
import socket
import subprocess
import sys
import time

import pytest

from tests.support.attack import campaigns, faulty_files, judge
from tests.support.attack.canaries import Canaries
from tests.support.attack.faulty_files import CHANGES, DIE, GO, TEAR
from tests.support.attack.states import States
from tests.support.doors import Ended
from tests.support.testing import ROOT

needs_a_compiler = pytest.mark.skipif(
  bool(faulty_files.why_not()), reason=faulty_files.why_not()
)

WRITER = """
import os, sys
os.mkdir("run")
with open("run/part", "wb", buffering=0) as file:
  file.write(b"12345678")
  os.fsync(file.fileno())
os.rename("run/part", "run/whole")
with open("elsewhere", "w") as file:
  file.write("x")
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
  return faulty_files.build(tmp_path_factory.mktemp("library"))


def write_under(library, directory, answer):
  """Runs `WRITER` in a directory; returns its status and what it asked."""
  (directory / "writer.py").write_text(WRITER)
  asked, address = [], str(directory / "s")

  def note(operation):
    asked.append(str(operation))
    return answer(operation)

  with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.bind(address)
    server.listen(1)
    server.settimeout(0.1)
    process = subprocess.Popen(
      [sys.executable, "-m", "tests.support.attack.armed", address]
      + [str(directory / "run"), "writer"],
      cwd=directory,
      env={
        **os.environ,
        "LD_PRELOAD": library,
        "PYTHONPATH": f"{ROOT}:{directory}",
      },
      stderr=subprocess.PIPE,
    )
    until = time.monotonic() + faulty_files.LONGEST
    alive = lambda: process.poll() is None
    with faulty_files.accept(server, alive, until) as connection:
      faulty_files.serve(connection, str(directory / "run"), note, until)
  process.communicate()
  return process.returncode, [x for x in asked if x.split()[0] in CHANGES]


def at(kind, answer):
  return lambda operation: answer if operation.kind == kind else GO


@needs_a_compiler
def test_all_changes_below_the_directory_ask_first(library, tmp_path):
  status, asked = write_under(library, tmp_path, lambda operation: GO)
  assert status == 0
  assert asked == [
    "mkdir . #0",
    "create part #0",
    "write part #0",
    "fsync part #0",
    "rename whole #0",
  ]
  assert (tmp_path / "elsewhere").exists()


@needs_a_compiler
@pytest.mark.parametrize(
  ("kind", "answer", "status", "left"),
  [
    ("write", DIE, -9, {"part": b""}),
    ("write", TEAR, -9, {"part": b"1234"}),
    ("rename", DIE, -9, {"part": b"12345678"}),
    ("rename", TEAR, -9, {"whole": b"12345678"}),
    ("write", errno.ENOSPC, 1, {"part": b""}),
    ("fsync", errno.EIO, 1, {"part": b"12345678"}),
  ],
)
def test_an_operation_is_the_last_or_fails(
  library, tmp_path, kind, answer, status, left
):
  assert write_under(library, tmp_path, at(kind, answer))[0] == status
  found = {x.name: x.read_bytes() for x in (tmp_path / "run").iterdir()}
  assert found == left


def test_states_are_laid_out_as_they_were_taken(tmp_path):
  states, run = States(tmp_path / "store"), tmp_path / "run"
  assert states.take(str(run)) == ()
  (run / "folder").mkdir(parents=True)
  (run / "log").write_text("one\n")
  (run / "link").symlink_to("log")
  before = states.take(str(run))
  (run / "log").write_text("one\nthree\n")
  (half,) = states.torn(before, states.take(str(run)))
  states.lay(before, str(tmp_path / "again"))
  assert states.take(str(tmp_path / "again")) == before
  states.lay(half, str(tmp_path / "torn"))
  assert (tmp_path / "torn" / "log").read_text() == "one\nthr"
  before = states.take(str(run))
  os.rename(run / "log", run / "renamed")  # All at once.
  assert not [*states.torn(before, states.take(str(run)))]


@pytest.mark.parametrize(
  ("status", "out", "err", "fault"),
  [
    (0, "", "", ""),
    (2, "", "train.py: `model_dir` x is none: name another.\n", ""),
    (75, "", "W0 a warning\ntrain.py: /run: the disk is full.\n", ""),
    (1, "ckpt-2: damaged\n", "", ""),
    (2, "", "", "status 2 with 0 lines"),
    (2, "", "train.py: /a\ntrain.py: /b\n", "status 2 with 2 lines"),
    (2, "", "train.py: something is wrong.\n", "a line that names nothing"),
    (2, "", f"train.py: {'/a' * 200}\n", "a line of 410 characters"),
    (1, "", "Traceback (most recent call last):\nOSError\n", "traceback"),
    (-11, "", "", "status -11"),
  ],
)
def test_a_door_ends_with_one_line_or_wrongly(status, out, err, fault):
  ended = Ended(status, out, err)
  assert judge.fault_of(ended, "launch.train")[0] == fault


def test_what_a_door_always_says_tells_nothing_of_a_file():
  usual = Ended(0, "  checkpoint   /a/run/ckpt-4 (0.02 s)\n", "")
  quiet = Ended(0, "  checkpoint   /b1/run/ckpt-4 (0.03 s)\n", "")
  told = Ended(0, "", "W0 passed over ckpt-4: its manifest is damaged\n")
  path = "checkpoints/ckpt-4.manifest.json"
  assert not judge.is_told(quiet, path, usual)
  assert judge.is_told(told, path, usual)


@pytest.mark.parametrize("links", [True, False])
def test_a_canary_that_is_touched_is_seen(tmp_path, links):
  run = tmp_path / "run"
  for folder in ("checkpoints", "best"):
    (run / folder).mkdir(parents=True)
  canaries = Canaries(tmp_path / "kept")
  canaries.join(run, links=links)
  assert canaries.touched() == []
  (tmp_path / "kept" / "ckpt-7.index").unlink()
  gone = run / ("x.part" if links else "movie.mp4.part")
  gone.unlink()
  assert canaries.touched() == [
    str(tmp_path / "kept" / "ckpt-7.index"),
    str(gone),
  ]


def test_a_campaign_that_is_cut_short_has_a_sample_of_all():
  every = range(100)
  assert sorted(campaigns.drawn(every, 0, 1)) == [*every]
  assert campaigns.drawn(every, 7, 1) == campaigns.drawn(every, 0, 1)[:7]
  assert campaigns.drawn(every, 7, 2) != campaigns.drawn(every, 7, 1)
  budget = campaigns.Budget()

  def one(number, item):
    if number == 20:
      budget.end()
    return number

  tried = campaigns.each(one, every, budget)
  assert all(item == number for item, number in tried)
  assert 20 <= len(tried) < 30
  assert campaigns.each(one, every, campaigns.Budget(0.0)) == []


@pytest.mark.slow
@needs_a_compiler
@pytest.mark.parametrize(
  ("campaign", "flags"),
  [
    ("kill_points", ["--sample=8", "--kills=4"]),
    ("fail_points", ["--sample=10"]),
    ("damage", ["--sample=24"]),
    ("fuzz", ["--examples=2000"]),
  ],
)
def test_a_sample_of_a_campaign_finds_nothing(campaign, flags):
  """In a process of its own: doors are served with the library loaded."""
  module = f"tests.support.attack.{campaign}"
  ended = subprocess.run(
    [sys.executable, "-m", module, "--minutes=0.6", *flags],
    cwd=ROOT,
    env={
      **os.environ,
      "TF_XLA_FLAGS": "",
    },  # XLA speaks of a cache.
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]

"""Every second is in exactly one bucket."""

import subprocess
import sys
import time

import pytest

from engine.measure.ledger import BUCKETS, Ledger, goodput
from tests.support.testing import ROOT


class Clock:
  def __init__(self):
    self.now = 100.0

  def __call__(self):
    return self.now


def test_seconds_go_to_the_bucket_that_is_open():
  clock = Clock()
  ledger = Ledger(clock=clock, elapsed=2.0)
  clock.now += 3  # start-up
  ledger.started()
  clock.now += 1  # other
  with ledger.time("step"):
    clock.now += 10
    with ledger.time("compile"):
      clock.now += 5
    clock.now += 20
  clock.now += 7  # other
  totals = ledger.totals()
  assert {k: v for k, v in totals.items() if v} == {
    "start_up": 5,
    "step": 30,
    "compile": 5,
    "other": 8,
  }
  assert sum(totals.values()) == pytest.approx(2 + 46)


def test_earlier_seconds_are_added():
  clock = Clock()
  ledger = Ledger(clock=clock)
  with ledger.time("step"):
    clock.now += 10
  ledger.add({"step": 100.0, "lost_to_restart": 3.0})
  assert ledger.totals()["step"] == 110
  assert sum(ledger.totals().values()) == 113


def test_goodput_is_the_share_of_steps_that_count():
  seconds = dict.fromkeys(BUCKETS, 0.0)
  assert goodput(seconds, 0.0) == 0.0
  seconds |= {"step": 60.0, "start_up": 20.0, "lost_to_restart": 10.0}
  assert goodput(seconds, 0.0) == pytest.approx(60 / 90)
  assert goodput(seconds, 30.0) == pytest.approx(0.5)


def test_an_exception_closes_its_bucket():
  clock = Clock()
  ledger = Ledger(clock=clock)
  with pytest.raises(KeyError), ledger.time("evaluation"):
    clock.now += 1
    raise KeyError
  clock.now += 2
  assert ledger.totals()["start_up"] == 2


def test_a_process_knows_how_long_it_runs():
  code = "from engine.measure import ledger; print(ledger.process_seconds())"
  begun = time.monotonic()
  run = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=True
  )
  # A clock tick is a hundredth of a second.
  assert 0 < float(run.stdout) < time.monotonic() - begun + 0.02


def test_what_is_known_later_is_moved_and_no_second_is_lost():
  clock = Clock()
  ledger = Ledger(clock=clock)
  with ledger.time("step"):
    clock.now += 10
    ledger.rebook(3, "step", "input_wait")
    clock.now += 1
  totals = ledger.totals()
  assert (totals["step"], totals["input_wait"]) == (8, 3)
  assert sum(totals.values()) == 11

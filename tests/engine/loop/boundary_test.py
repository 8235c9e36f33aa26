"""Loops are short enough for a look at the notices within the grace."""

from engine.loop.boundary import Boundary, Pace
from tests.support.testing import strategy_of


def test_the_loops_are_as_short_as_the_grace_asks():
  boundary = Boundary(strategy=strategy_of(1), grace=8.0)
  assert boundary.limit(100) == 1  # Nothing is known yet.
  boundary.measured(10, 1.0)
  assert boundary.limit(100) == 20
  boundary.measured(1, 10.0)
  assert boundary.limit(100) == 1


def test_before_any_measurement_one_step_runs():
  assert Pace(grace=30.0).limit(100) == 1


def test_the_pace_looks_four_times_within_the_grace():
  pace = Pace(grace=40.0)
  pace.measured(10, 5.0)
  assert pace.limit(100) == 20
  assert pace.limit(7) == 7
  pace.measured(1, 60.0)
  assert pace.limit(100) == 1


def test_the_slower_of_the_last_two_measurements_counts():
  pace = Pace(grace=40.0)
  pace.measured(1, 5.0)  # With what is compiled once.
  pace.measured(1, 0.5)
  assert pace.limit(100) == 2
  pace.measured(1, 0.25)
  assert pace.limit(100) == 20


def test_the_pace_of_the_slowest_worker_may_be_set():
  pace = Pace(grace=40.0)
  pace.measured(1, 0.5)
  pace.seconds = 2.0
  assert pace.limit(100) == 5

"""Loops are short enough for a look at the notices within the grace."""

import numpy as np
import pytest

from engine.errors import StopRequested
from engine.loop import boundary as boundaries
from engine.loop.boundary import Boundary, Pace
from tests.support.testing import strategy_of


def test_the_loops_are_as_short_as_the_grace_asks():
  boundary = Boundary(strategy=strategy_of(1), grace=16.0)
  assert boundary.limit(100) == 0  # Nothing is known yet.
  boundary.measured(10, 1.0)
  assert boundary.limit(100) == 20
  boundary.measured(1, 10.0)
  assert boundary.limit(100) == 0


def test_before_any_measurement_nothing_is_given_ahead():
  assert Pace(grace=30.0).limit(100) == 0


def test_the_pace_looks_eight_times_within_the_grace():
  pace = Pace(grace=80.0)
  pace.measured(10, 5.0)
  assert pace.limit(100) == 20
  assert pace.limit(7) == 7
  pace.measured(1, 60.0)
  assert pace.limit(100) == 0


def test_the_slower_of_the_last_two_measurements_counts():
  pace = Pace(grace=80.0)
  pace.measured(1, 5.0)  # With what is compiled once.
  pace.measured(1, 0.5)
  assert pace.limit(100) == 2
  pace.measured(1, 0.25)
  assert pace.limit(100) == 20


def test_the_pace_of_the_slowest_worker_counts_once_it_is_known():
  pace = Pace(grace=80.0)
  pace.measured(1, 0.5)
  pace.agreed = 2.0
  assert pace.limit(100) == 5
  pace.measured(1, 8.0)  # Others do not know yet.
  assert pace.limit(100) == 5


class Worker:
  """What `Notices` has of it."""

  reason = ""


@pytest.fixture
def workers(monkeypatch):
  """Two workers that ask at the same looks, and their notices."""
  said = []

  def gathering(strategy, own):
    question = len(said)
    said.append(own)
    pair = slice(question // 2 * 2, question // 2 * 2 + 2)
    return lambda: np.stack(said[pair])

  monkeypatch.setattr(boundaries, "gathering", gathering)
  monkeypatch.setattr(boundaries, "workers_of", lambda _: ["a:1", "b:2"])
  notices = Worker(), Worker()
  both = [
    Boundary(strategy=strategy_of(1), grace=16.0, notices=x) for x in notices
  ]
  return both, notices


def look(both, **kwargs):
  """All look; returns what stops them."""
  stops = []
  for boundary in both:
    try:
      boundary.check(3, **kwargs)
    except StopRequested as stop:
      stops.append(str(stop))
  return stops


def test_workers_hear_at_the_next_look_what_one_was_told(workers):
  both, notices = workers
  assert look(both, ahead=True) == []
  notices[1].reason = "SIGTERM"
  assert look(both, ahead=True) == []  # It is asked, while the device works.
  assert look(both, ahead=True) == ["SIGTERM (worker 1, b:2)"] * 2


def test_the_paces_of_all_workers_are_one(workers):
  both, _ = workers
  both[0].measured(1, 0.1)
  both[1].measured(1, 0.5)
  look(both, ahead=True)
  look(both, ahead=True)
  assert [boundary.limit(100) for boundary in both] == [4, 4]

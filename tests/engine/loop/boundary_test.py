"""Loops are short enough for a look at the notices within the grace."""

import types

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
  """Two workers whose steps are summed, and their notices."""
  monkeypatch.setattr(boundaries, "workers_of", lambda _: ["a:1", "b:2"])
  notices = Worker(), Worker()
  both = []
  for i, notice in enumerate(notices):
    strategy = types.SimpleNamespace(
      cluster_resolver=types.SimpleNamespace(task_id=i)
    )
    both.append(Boundary(strategy=strategy, grace=16.0, notices=notice))
  return both, notices


@pytest.fixture
def votes(monkeypatch, workers):
  """What was gathered: asked for by both, one after the other."""
  _, notices = workers
  found = []

  def gather(strategy, own):
    i = strategy.cluster_resolver.task_id
    found.append(own)
    rows = np.zeros([2, len(own)], own.dtype)
    for row, notice in zip(rows, notices, strict=True):
      row[1 : 1 + len(notice.reason)] = [*notice.reason.encode()]
    assert (own[1:] == rows[i, 1:]).all()
    rows[:, 0] = own[0], 250  # The second one takes 0.25 s a batch.
    return rows

  monkeypatch.setattr(boundaries, "gather", gather)
  return found


def step(both):
  """All take a step."""
  total = sum(boundary.signals for boundary in both)
  for boundary in both:
    boundary.hear(total)


def look(both):
  """All look; returns what stops them."""
  stops = []
  for boundary in both:
    try:
      boundary.check(3)
    except StopRequested as stop:
      stops.append(str(stop))
  return stops


def test_nobody_votes_while_nobody_is_told(workers, votes):
  both, _ = workers
  for _ in range(5):
    step(both)
    assert look(both) == []
  assert votes == []


def test_what_one_was_told_is_known_behind_the_next_step(workers, votes):
  both, notices = workers
  step(both)
  notices[1].reason = "SIGTERM"
  assert look(both) == []  # No step has carried it.
  step(both)
  assert [boundary.told for boundary in both] == [True, True]
  assert look(both) == ["SIGTERM (worker 1, b:2)"] * 2
  assert len(votes) == 2


def test_the_paces_of_all_workers_are_one(workers):
  both, _ = workers
  both[0].measured(1, 0.1)
  both[1].measured(1, 0.5)
  limits = [boundary.limit(100) for boundary in both]
  assert limits == [0, 0]  # What each has measured differs.
  step(both)
  assert [boundary.limit(100) for boundary in both] == [4, 4]


def test_an_evaluation_asks_as_often_as_the_slowest_worker_needs(
  workers, votes
):
  both, notices = workers
  assert [boundary.ask(0.0) for boundary in both] == [8, 8]
  assert both[0].ask(0.5) == 4
  assert both[0].ask(100.0) == 1
  notices[1].reason = "SIGTERM"
  for boundary in both:
    with pytest.raises(StopRequested, match=r"SIGTERM \(worker 1, b:2\)"):
      boundary.ask(0.1)


def test_who_is_alone_asks_nobody_in_an_evaluation():
  notices = Worker()
  boundary = Boundary(strategy=strategy_of(1), grace=16.0, notices=notices)
  assert boundary.ask(100.0) == boundary.ask(0.001) == 1
  notices.reason = "SIGTERM"
  with pytest.raises(StopRequested, match="SIGTERM"):
    boundary.ask(0.1)


def test_who_is_alone_says_nothing_to_others():
  boundary = Boundary(strategy=strategy_of(1), grace=16.0)
  assert boundary.signals.shape == (0, 2)
  boundary.hear(boundary.signals)
  assert not boundary.told

"""When a rank stands still, and how often it has another life.

All times are made up.
"""

import pytest

from engine.process.watch import Restarts, Watch


def record(count, phase, step=0):
  return {"count": count, "phase": phase, "step": step, "stopped": ""}


def looks(watch, seconds, *, start=0.0, **seen):
  """Looks once a second; returns when the rank was found frozen."""
  for second in range(seconds):
    now = start + second
    fresh = {k: v(second) if callable(v) else v for k, v in seen.items()}
    if watch.look(now=now, **fresh):
      return now
  return None


def test_a_rank_whose_record_does_not_change_is_frozen():
  watch = Watch(stall_timeout=30.0)
  assert looks(watch, 100, record=record(1, "step", 40)) == 30.0
  assert (watch.phase, watch.step) == ("step", 40)


def test_a_rank_whose_record_changes_is_not_frozen():
  watch = Watch(stall_timeout=30.0)
  moving = lambda second: record(second // 29, "step")
  assert looks(watch, 300, record=moving) is None


def test_a_slow_rank_gets_three_times_its_longest_pause():
  watch = Watch(stall_timeout=30.0)
  assert looks(watch, 20, record=record(1, "step")) is None
  watch.look(now=20.0, record=record(2, "step"))
  assert looks(watch, 100, start=20.0, record=record(2, "step")) == 80.0


def test_the_length_of_a_compilation_does_not_count_as_a_pause():
  watch = Watch(stall_timeout=30.0)
  busy = {"cpu": lambda second: float(second)}
  assert looks(watch, 200, record=record(1, "compile"), **busy) is None
  watch.look(now=200.0, record=record(2, "step"))
  assert looks(watch, 90, start=200.0, record=record(2, "step")) == 230.0


@pytest.mark.parametrize("phase", ["start_up", "compile", None])
def test_where_nothing_is_reported_for_long_cpu_time_counts(phase):
  seen = phase and record(1, phase)
  busy, idle = Watch(stall_timeout=30.0), Watch(stall_timeout=30.0)
  grows = lambda second: 0.06 * second
  assert looks(busy, 500, record=seen, cpu=grows) is None
  hardly = lambda second: 0.01 * second  # Heartbeats.
  assert looks(idle, 500, record=seen, cpu=hardly) in (30.0, 31.0)


def test_cpu_time_does_not_count_in_a_step():
  watch = Watch(stall_timeout=30.0)
  spins = lambda second: float(second)
  assert looks(watch, 100, record=record(1, "step"), cpu=spins) == 30.0


def test_a_rank_that_waits_for_others_is_frozen_only_if_it_is_stopped():
  watch = Watch(stall_timeout=30.0)
  meeting = record(1, "meeting")
  assert looks(watch, 500, record=meeting) is None
  found = looks(watch, 100, start=500.0, record=meeting, stopped=True)
  assert found == pytest.approx(530.0, abs=1.5)


def test_time_in_which_nobody_looked_does_not_count():
  watch = Watch(stall_timeout=30.0)
  watch.look(now=0.0, record=record(1, "step"))
  assert not watch.look(now=600.0, record=record(1, "step"))
  assert watch.look(now=600.0, record=record(2, "step")) is False
  assert watch.still == 0.0


def test_waits_double_up_to_30_seconds():
  restarts = Restarts(100)
  waits = [restarts.next(0) for _ in range(9)]
  assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
  for _ in range(91):
    assert restarts.next(0) == 30.0
  assert restarts.next(0) is None


def test_a_step_beyond_all_earlier_lives_renews_the_budget():
  restarts = Restarts(2)
  waits = [restarts.next(step) for step in (10, 10, 11, 5, 11)]
  assert waits == [0.5, 1.0, 0.5, 1.0, None]
  assert restarts.total == 4

"""What the ends of a run have cost is in the log of its starts."""

import json
import types

import pytest

from engine.measure.ledger import Work, goodput
from engine.task import Layout
from engine.telemetry.starts import StartLog


def started(path, lines, dropped=(), step=5):
  """A start of a run that is restored at `step`, a minute after its first."""
  log = types.SimpleNamespace(lines=lines, dropped=dropped, step=step)
  return StartLog(str(path), log, began=1060.0, writes=True)


def line(seconds, lost=0.0):
  return {"ledger": {"step": seconds, "lost_to_restart": lost}}


def test_what_a_start_has_lost_is_not_forgotten_by_the_next(tmp_path):
  path = tmp_path / "restarts.jsonl"
  first = started(path, [])
  assert (first.number, first.earlier_seconds["lost_to_restart"]) == (0, 0.0)
  second = started(path, [line(3.0)], [line(5.0)])
  assert (second.number, second.earlier_seconds["lost_to_restart"]) == (1, 2.0)
  # Killed before its first log point.
  third = started(path, [line(3.0)])
  assert (third.number, third.earlier_seconds["lost_to_restart"]) == (2, 2.0)


def stop_of(step, seconds, lost=0.0):
  return {"step": step, "work": {"steps": step}, **line(seconds, lost)}


def test_what_lies_between_the_last_log_point_and_a_stop_counts(tmp_path):
  path = tmp_path / "restarts.jsonl"
  start = {"step": 0, "lost_to_restart": 0.0, "time": 1000.0}
  stop = stop_of(7, 4.0)
  path.write_text(f"{json.dumps(start)}\n{json.dumps(stop)}\n")
  again = started(path, [line(3.0)], step=7)
  assert again.earlier_seconds == {"step": 4.0, "lost_to_restart": 0.0}
  assert (again.number, again.earlier_work.steps) == (1, 7)
  # Newer log points come before what an older stop has noted.
  third = started(path, [line(3.0), line(6.0)], step=9)
  assert third.earlier_seconds["step"] == 6.0
  assert third.number == 2


def test_a_stop_behind_the_restored_step_is_lost_and_only_once(tmp_path):
  path = tmp_path / "restarts.jsonl"
  start = {"step": 0, "lost_to_restart": 0.0, "time": 1000.0}
  path.write_text(f"{json.dumps(start)}\n{json.dumps(stop_of(7, 4.0))}\n")
  for _ in range(2):
    again = started(path, [line(3.0)], step=5)
    assert again.earlier_seconds == {"step": 3.0, "lost_to_restart": 1.0}


def test_lost_lines_are_those_of_all_starts(tmp_path):
  path = tmp_path / "restarts.jsonl"
  log = types.SimpleNamespace(lines=[], dropped=[], step=5)
  path.write_text(json.dumps({"step": 0, "lost_to_restart": 0.0}) + "\n")
  for missed in (2, 0, 3):
    lost = {"metrics.jsonl": missed, "example_ids.jsonl": 0}
    start = StartLog(str(path), log, began=0.0, writes=True, lost=lost)
  assert start.lost == {"metrics.jsonl": 5}
  foreign = {"step": 0, "lost_to_restart": 0, "lost": {"best": 1, "\x1b": 2}}
  path.write_text(path.read_text() + json.dumps(foreign) + "\n#\n")
  again = StartLog(str(path), log, began=0.0, writes=True)
  assert again.lost == {"metrics.jsonl": 5, "restarts.jsonl": 1}


@pytest.mark.parametrize("content", ["", None])
def test_starts_that_are_gone_are_missed_behind_a_checkpoint(tmp_path, content):
  path = tmp_path / "restarts.jsonl"
  for step, lost in ((0, {}), (5, {"restarts.jsonl": 1})):
    if content is not None:
      path.write_text(content)
    log = types.SimpleNamespace(lines=[], dropped=[], step=step)
    assert StartLog(str(path), log, began=0.0, writes=True).lost == lost
    path.unlink()


def test_seconds_that_no_process_booked_are_down(tmp_path):
  path = tmp_path / "restarts.jsonl"
  path.write_text(
    json.dumps({"step": 0, "lost_to_restart": 0.0, "time": 1000.0}) + "\n"
  )
  start = started(path, [])
  booked = {"step": 30.0, "start_up": 10.0}
  assert start.down_seconds(booked, now=1100.0) == 60.0
  assert goodput(booked, 60.0) == 0.3
  assert start.down_seconds(booked, now=900.0) == 0.0  # A clock was set back.


def test_work_that_was_logged_without_operations_is_read(tmp_path):
  path = tmp_path / "restarts.jsonl"
  work = {"steps": 4, "examples": 32, "units": 9, "capacity": 9, "seconds": 2.0}
  start = started(path, [{**line(3.0), "work": work}])
  assert start.earlier_work == Work(**work, flops=None, executed_flops=None)
  start = started(path, [{**line(3.0), "work": {**work, "flops": 5.0}}])
  assert start.earlier_work.flops is None  # It counted otherwise.
  start.earlier_work.add(8, Layout(shape=(8,), units=8, capacity=8, flops=5.0))
  assert start.earlier_work.flops is None
  assert start.earlier_work.examples == 40

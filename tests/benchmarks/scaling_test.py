"""Scaling is measured through the doors, and what is missing is said."""

import json
import subprocess

import pytest

from benchmarks.scale import two_hosts
from benchmarks.scale.spread import Way, efficiency
from engine.errors import UserError
from tests.support.doors import enter

SETTINGS = (
  "--encoder=tiny",
  "--global_batch_size=8",
  "--train_steps=10",
)


@pytest.mark.slow
def test_replicas_are_measured_and_held_against_the_model(tmp_path):
  ended = enter(
    tmp_path,
    "benchmarks.scaling",
    *SETTINGS,
    "--workers=",
    "--links=",
    f"--output_dir={tmp_path / 'results'}",
  )
  assert ended.status == 0, ended.err
  record, picture = sorted((tmp_path / "results").iterdir())
  rows = json.loads(record.read_text())["rows"]
  names = [row["name"] for row in rows]
  assert names == [
    "one replica, global batch 8",
    "one replica, global batch 4",
    "mirrored:2, global batch 8",
  ]
  assert rows[0]["predicted"] is None
  assert rows[0]["efficiency"] == pytest.approx(1.0)
  assert 0 < rows[2]["predicted"]["reduce_share"] < 1
  assert picture.read_bytes().startswith(b"\x89PNG")
  assert "predicted by the model, not measured" in ended.out
  assert "its error" in ended.out


def test_efficiency_is_that_of_all_replicas_over_one():
  one, two = Way("one", 1), Way("workers", 2)
  seconds = {(one, 16): 1.0, (one, 8): 0.6, (two, 16): 1.25, (two, 32): 2.0}
  assert efficiency(seconds, two, 16) == pytest.approx(0.8)
  assert efficiency(seconds, two, 32) == pytest.approx(1.0)


def test_a_missing_tool_is_named(monkeypatch):
  monkeypatch.setattr(two_hosts.shutil, "which", lambda tool: None)
  assert "ip and tc missing: install iproute2" in two_hosts.missing()
  with (
    pytest.raises(UserError, match="Two hosts cannot be made: ip and tc"),
    two_hosts.two_hosts("1gbit"),
  ):
    pass


def test_a_rate_that_is_none_is_refused():
  with (
    pytest.raises(UserError, match="`rate` is 'fast', but must be like 1gbit"),
    two_hosts.two_hosts("fast"),
  ):
    pass


def test_without_a_way_the_predictions_are_all(tmp_path):
  ended = enter(
    tmp_path,
    "benchmarks.scaling",
    *("--mirrored=", "--workers=", "--links=", "--bandwidth=5e10"),
    f"--output_dir={tmp_path}/results",
  )
  assert ended.status == 0, ended.err
  *_, last = ended.out.splitlines()
  assert last.replace(",", " ").split() == [
    *("1024", "1.03", "0.00033", "541", "0.59", "2.7e+03", "2.6")
  ]
  assert not (tmp_path / "results").exists()


def test_links_that_were_asked_for_and_cannot_be_made_are_refused(tmp_path):
  if not two_hosts.missing():
    pytest.skip("this machine can make them")
  ended = enter(tmp_path, "benchmarks.scaling", *SETTINGS, "--links=1gbit")
  assert ended.status == 2
  assert "`links` is ['1gbit'], but" in ended.err


@pytest.mark.slow
def test_two_hosts_reach_each_other_and_are_taken_away():
  reason = two_hosts.missing()
  if reason:
    pytest.skip(reason)
  with two_hosts.two_hosts("100mbit") as [(one, _), (other, address)]:
    run = ["ip", "netns", "exec", one, "ping", "-c", "1", address]
    listed = subprocess.run(["ip", "netns"], capture_output=True, text=True)
    assert one in listed.stdout and other in listed.stdout
    if subprocess.run(["which", "ping"], capture_output=True).returncode == 0:
      subprocess.run(run, check=True, capture_output=True)
  listed = subprocess.run(["ip", "netns"], capture_output=True, text=True)
  assert one not in listed.stdout

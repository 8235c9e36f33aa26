"""The input is held against what training consumes."""

import json

import pytest

from benchmarks.harness import record
from tests.support.doors import enter


@pytest.fixture
def throughput(tmp_path):
  """A record of throughput whose fastest row has 50 examples/s."""
  rates = {"pad": 20.0, "pack": 50.0}
  rows = [
    record.row(x, "examples/s", [rate], better="higher", panel="tiny")
    for x, rate in rates.items()
  ]
  path = tmp_path / "throughput.json"
  path.write_text(
    json.dumps({"benchmark": "throughput", "hardware": {}, "rows": rows})
  )
  return path


def run(tmp_path, *arguments):
  return enter(
    tmp_path,
    "benchmarks.input",
    "--repeats=3",
    f"--output_dir={tmp_path / 'results'}",
    *arguments,
  )


def test_each_way_of_batching_is_held_against_training(tmp_path, throughput):
  ended = run(tmp_path, "--encoder=tiny", f"--throughput={throughput}")
  assert ended.status == 0, ended.err
  (path,) = (tmp_path / "results").iterdir()
  found = json.loads(path.read_text())
  assert found["train_examples_per_second"] == 50.0
  assert [row["name"].partition(": ")[2] for row in found["rows"]] == [
    "tokenise",
    *(f"batches, {x}" for x in ("pad", "bucket", "pack")),
  ]
  for row in found["rows"]:
    assert row["summary"]["windows"] == 3
    times = row["summary"]["median"] / 50
    assert f"{times:.0f} times what training consumes" in ended.out


def test_a_record_without_the_encoder_is_refused(tmp_path, throughput):
  ended = run(tmp_path, "--encoder=base", f"--throughput={throughput}")
  assert ended.status == 2
  assert "has no row of the encoder 'base'" in ended.err
  ended = run(tmp_path, "--batching=sort", "--train_examples_per_second=1")
  assert ended.status == 2
  assert "but takes some of" in ended.err


def test_one_worker_of_many_is_timed(tmp_path):
  ended = run(tmp_path, "--scale")
  assert ended.status == 0, ended.err
  (path,) = (tmp_path / "results").iterdir()
  found = json.loads(path.read_text())
  assert [row["name"] for row in found["rows"]] == [
    "32 x 1, a worker of 1",
    "256 x 8, a worker of 1",
    "2048 x 64, a worker of 8",
    "32768 x 1024, a worker of 128",
  ]
  assert all(row["summary"]["median"] > 0 for row in found["rows"])


def test_a_store_is_made_timed_and_deleted(tmp_path, monkeypatch):
  (tmp_path / "scratch").mkdir()
  monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
  monkeypatch.setattr("tempfile.tempdir", None)
  ended = run(tmp_path, "--store_pairs=3000")
  assert ended.status == 0, ended.err
  (path,) = (tmp_path / "results").iterdir()
  found = json.loads(path.read_text())
  assert found["store_pairs"] == 3000
  medians = {row["name"]: row["summary"]["median"] for row in found["rows"]}
  assert medians["open"] > 0
  assert medians["seek to step 1000000"] > 0
  assert not list((tmp_path / "scratch").glob("tmp*"))

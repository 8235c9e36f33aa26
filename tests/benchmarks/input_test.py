"""The input is held against what training consumes."""

import json

import pytest

from benchmarks.harness import record
from benchmarks.scale import store
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
  assert [row["name"] for row in found["rows"][:6]] == [
    "32 x 1, a worker of 1",
    "256 x 8, a worker of 1",
    "2048 x 8, a worker of 1",
    "2048 x 64, a worker of 8",
    "16384 x 512, a worker of 64",
    "32768 x 1024, a worker of 128",
  ]
  assert all(row["summary"]["median"] > 0 for row in found["rows"])
  assert [row["unit"] for row in found["rows"][6:]] == [
    "ms",
    "indices/s",
    "MB",
  ] * 2
  room = [row for row in found["rows"] if row["name"].endswith("memory")]
  assert all(row["summary"]["median"] < 1 for row in room)
  for line in found["predicted"]:
    assert "predicted" in line and line in ended.out


def test_a_store_is_opened_read_and_sought(tmp_path, monkeypatch):
  monkeypatch.setattr(store, "_SHARD", 1000)
  monkeypatch.setattr(store, "_STEPS", 3)
  meta = store._write(str(tmp_path), 2500)
  assert len(list(tmp_path.iterdir())) == 3
  rows = store._measure(str(tmp_path), meta, 2500, repeats=3)
  values = {what: found for what, _, found in rows}
  for what in ("open", "seek to step 1000000", "each next step"):
    assert min(values[what]) > 0
  assert values["memory of its own"][0] < 1000

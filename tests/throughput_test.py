"""The benchmark runs what users run, and says what it ran on."""

import json

from benchmarks import record as record_lib
from tests.doors import enter


def test_the_benchmark_leaves_a_record(tmp_path):
  ended = enter(
    tmp_path,
    "benchmarks.throughput",
    "--encoder=tiny",
    "--batching=pack",
    "--precision=float32",
    "--train_steps=12",
    "--repeats=1",
    f"--output_dir={tmp_path / 'results'}",
  )
  assert ended.status == 0, ended.err
  (path,) = (tmp_path / "results").iterdir()
  record = json.loads(path.read_text())
  (row,) = record["rows"]
  assert row["examples_per_second"]["windows"] >= 3
  assert row["examples_per_second"]["median"] > 0
  assert 0 < row["padding"] < 0.3
  for key in ("command", "date", "commit", "hardware", "versions"):
    assert record[key]
  assert str(path) in ended.out


def test_summary_is_median_and_quartiles():
  found = record_lib.summary([1.0, 2.0, 3.0, 4.0, 100.0])
  assert found == {"median": 3.0, "low": 2.0, "high": 4.0, "windows": 5}

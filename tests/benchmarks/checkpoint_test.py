"""The benchmark of saves runs, and says what it ran on."""

import json

import pytest

from tests.support.doors import enter


@pytest.mark.slow
def test_the_benchmark_of_saves_leaves_a_record(tmp_path):
  ended = enter(
    tmp_path,
    "benchmarks.checkpoint",
    "--task=demo",
    "--encoder=tiny",
    "--repeats=3",
    f"--output_dir={tmp_path / 'results'}",
  )
  assert ended.status == 0, ended.err
  (path,) = (tmp_path / "results").iterdir()
  record = json.loads(path.read_text())
  rows = {row["name"]: row for row in record["rows"]}
  for kind in ("synchronous", "asynchronous"):
    assert rows[f"{kind}: stall"]["summary"]["windows"] == 3
    assert rows[f"{kind}: call"]["summary"]["median"] > 0
  assert record["bytes"] > 100_000
  for key in ("command", "date", "commit", "hardware", "versions"):
    assert record[key]
  assert "stall, asynchronous / synchronous" in ended.out

"""The benchmark of the ledger runs, and says what it ran on."""

import json

import pytest

from tests.support.doors import enter


@pytest.mark.slow
def test_the_benchmark_of_the_ledger_leaves_a_record(tmp_path):
  ended = enter(
    tmp_path,
    "benchmarks.ledger",
    "--encoder=tiny",
    "--repeats=3",
    "--steps_per_loop=2",
    f"--output_dir={tmp_path / 'results'}",
  )
  assert ended.status == 0, ended.err
  (path,) = (tmp_path / "results").iterdir()
  record = json.loads(path.read_text())
  rows = {row["name"]: row["summary"] for row in record["rows"]}
  assert all(summary["windows"] == 3 for summary in rows.values())
  seconds = {
    kind: rows[f"tiny: {kind} step"]["samples"][0]
    for kind in ("logged", "bare", "idle")
  }
  assert min(seconds["bare"]) > 0
  for logged, idle in zip(seconds["logged"], seconds["idle"], strict=True):
    assert 0 < idle < logged
  for key in ("command", "date", "commit", "hardware", "versions"):
    assert record[key]
  assert "the device was idle for " in ended.out
  assert str(path) in ended.out

"""The benchmark runs what users run, and says what it ran on."""

import glob
import json
import subprocess

import pytest

from benchmarks.harness import cells, statistics
from engine.errors import UserError
from tests.support.doors import enter


@pytest.mark.slow
def test_the_benchmark_leaves_a_record_a_table_and_a_picture(tmp_path):
  ended = enter(
    tmp_path,
    "benchmarks.throughput",
    "--encoder=tiny",
    "--batching=pad",
    "--precision=float32",
    "--repeats=1",
    f"--output_dir={tmp_path / 'results'}",
  )
  assert ended.status == 0, ended.err
  path, picture = sorted((tmp_path / "results").iterdir())
  record = json.loads(path.read_text())
  rate, memory = record["rows"]
  assert rate["name"] == "tiny on demo, batch 32, one_device float32 pad"
  found = rate["summary"]
  assert found["windows"] >= 5
  assert 0 < found["interval"][0] <= found["median"] <= found["interval"][1]
  steps = rate["steps_per_second"]
  assert found["median"] == pytest.approx(32 * steps)
  assert rate["per_accelerator"]["steps_per_second"] == steps
  assert 0.5 < rate["padding"] < 0.8
  assert rate["traces"] == 1
  assert memory["summary"]["median"] > 100e6
  for key in ("command", "date", "commit", "hardware", "versions", "threads"):
    assert record[key]
  assert record["hardware"]["memory_bytes"] > memory["summary"]["median"]
  assert record["flags"]["batching"] == ["pad"]
  assert "tiny one_device float32 pad" in ended.out
  assert str(path) in ended.out
  assert picture.read_bytes().startswith(b"\x89PNG")


REFUSED = {
  "an unknown type": (["--precision=int8"], "['int8'], but takes"),
  "an unknown strategy": (["--strategy=mirrored:0"], "'mirrored:0', but takes"),
  "an unknown encoder": (["--encoder=tiny,nowhere"], "`encoder` is 'nowhere'"),
  "nothing to measure": (["--batching="], "matrix is empty"),
}
if not glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*"):
  REFUSED["a TPU where there is none"] = (
    ["--strategy=one_device,tpu"],
    "`strategy` has tpu, but this machine has no TPU",
  )


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused_before_anything_runs(
  tmp_path, case
):
  flags, message = REFUSED[case]
  results = tmp_path / "results"
  ended = enter(
    tmp_path,
    "benchmarks.throughput",
    "--encoder=tiny",
    *flags,
    f"--output_dir={results}",
  )
  assert ended.status == 2
  assert message in ended.err.splitlines()[-1]
  assert ended.out == ""
  assert not results.exists()


@pytest.mark.parametrize(
  "text, gpus, message",
  [
    ("gpu", 0, "no GPU"),
    ("mirrored", 1, "1 GPU"),
    ("mirrored:4", 2, "ask for 2 or fewer"),
    ("multi_worker:2", 1, "use mirrored"),
  ],
)
def test_strategies_without_their_gpus_are_refused(
  monkeypatch, text, gpus, message
):
  monkeypatch.setattr(cells, "_gpus", lambda: gpus)
  with pytest.raises(UserError, match=message):
    cells.check_accelerators([cells.Strategy.parse(text)])


@pytest.mark.parametrize(
  "text, gpus", [("gpu", 1), ("mirrored:4", 0), ("multi_worker:2", 0)]
)
def test_strategies_with_their_devices_are_taken(monkeypatch, text, gpus):
  monkeypatch.setattr(cells, "_gpus", lambda: gpus)
  cells.check_accelerators([cells.Strategy.parse(text)])


@pytest.mark.parametrize(
  "text, gpus, said, visible",
  [
    ("mirrored:2", 0, ["launch.train", "--num_virtual_devices=2"], None),
    ("mirrored:2", 4, ["launch.train", "--strategy=mirrored"], "0,1"),
    ("gpu", 1, ["launch.train", "--strategy=one_device"], None),
    ("multi_worker:3", 0, ["launch.cluster", "--num_workers=3"], None),
  ],
)
def test_a_strategy_becomes_the_flags_of_a_door(
  monkeypatch, text, gpus, said, visible
):
  monkeypatch.setattr(cells, "_gpus", lambda: gpus)
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  asked = []

  def run(command, env, **_):
    asked.append((command, env))
    return subprocess.CompletedProcess(command, 9, "", "out of memory\n")

  monkeypatch.setattr(subprocess, "run", run)
  cell = cells.Cell("tiny", cells.Strategy.parse(text), "float32", "pad")
  with pytest.raises(cells.CellFailed, match="exit status 9: out of memory"):
    cells.measure(cell, [], train_steps=14)
  ((command, environ),) = asked
  assert set(said) <= set(command)
  assert environ.get("CUDA_VISIBLE_DEVICES") == visible


def test_windows_begin_behind_the_warm_up_and_have_no_compiling_step():
  works = [(0, 0), (1, 9.0), (3, 10.0), (3, 10.0), (5, 12.0)]
  points = [
    {"steps": n, "examples": 32 * n, "units": 900 * n, "seconds": seconds}
    for n, seconds in works
  ]
  assert cells.windows_of(points) == [(2.0, 64.0, 1800.0), (1.0, 32.0, 900.0)]


def test_summary_is_median_quartiles_and_interval():
  found = statistics.summary([1.0, 2.0, 3.0, 4.0, 100.0])
  assert found == {
    "median": 3.0,
    "low": 2.0,
    "high": 4.0,
    # Drawing the least three times in five is no rarer than 2.5 %.
    "interval": [1.0, 100.0],
    "windows": 5,
    "samples": [[1.0, 2.0, 3.0, 4.0, 100.0]],
  }


def test_the_interval_spans_processes_that_differ():
  found = statistics.summary([[1.0, 1.0, 1.0], [9.0, 9.0]])
  assert found["interval"] == [1.0, 9.0]
  assert found["windows"] == 5


def test_the_interval_narrows_with_more_windows():
  few, many = (
    statistics.summary([float(i % 11) for i in range(n)])["interval"]
    for n in (11, 1100)
  )
  assert many[1] - many[0] < few[1] - few[0]

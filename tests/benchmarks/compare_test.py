"""A verdict knows the noise, and what cannot be compared is refused."""

import json

import numpy as np
import pytest

from benchmarks import compare
from benchmarks.harness import record
from engine.errors import UserError
from tests.support.doors import enter

HARDWARE = {"cpu": "Z", "vector_units": ["avx2"], "cores": 2, "gpus": []}


def samples(level, *, seed, noise=0.02, processes=3, windows=8):
  random = np.random.default_rng(seed)
  return [
    (level * random.normal(1, noise, windows)).tolist()
    for _ in range(processes)
  ]


def row_of(groups, name="a", unit="examples/s", better="higher"):
  return record.row(name, unit, groups, better=better)


def verdict(old, new, **row):
  return compare.compare(row_of(old, **row), row_of(new, **row)).verdict


@pytest.fixture
def write(tmp_path):
  def write(name, rows, **changes):
    path = tmp_path / name
    path.write_text(
      json.dumps(
        {
          "benchmark": "throughput",
          "hardware": HARDWARE,
          "commit": name,
          "rows": rows,
          **changes,
        }
      )
    )
    return str(path)

  return write


@pytest.mark.parametrize("processes", [1, 3])
def test_the_same_again_is_no_change(processes):
  for seed in range(20):
    old = samples(50, seed=seed, processes=processes)
    new = samples(50, seed=1000 + seed, processes=processes)
    change = compare.compare(row_of(old), row_of(new), mistake=0.001)
    assert change.verdict == "no change"
    assert change.low < 1 < change.high


@pytest.mark.parametrize("processes", [1, 3])
def test_a_change_beyond_the_noise_has_a_name(processes):
  old = samples(50, seed=1, processes=processes)
  new = samples(60, seed=2, processes=processes)
  assert verdict(old, new) == "faster"
  assert verdict(new, old) == "slower"
  seconds = {"unit": "s", "better": "lower"}
  assert verdict(old, new, **seconds) == "slower"
  assert verdict(new, old, **seconds) == "faster"
  memory = {"unit": "bytes", "better": "lower"}
  assert verdict(old, new, **memory) == "larger"


def test_the_interval_holds_the_ratio():
  old, new = samples(50, seed=1), samples(60, seed=2)
  change = compare.compare(row_of(old), row_of(new))
  assert change.low < change.ratio < change.high
  assert change.low < 1.2 < change.high
  assert change == compare.compare(row_of(old), row_of(new))


def test_processes_that_differ_outweigh_their_quiet_windows():
  old = [samples(level, seed=1, noise=1e-3)[0] for level in (48, 50, 53)]
  new = [samples(level, seed=2, noise=1e-3)[0] for level in (50, 52, 55)]
  assert verdict(old, new) == "no change"
  assert verdict(old[1:2], new[1:2]) == "faster"


def test_what_is_equal_to_the_bit_is_no_change():
  assert verdict([[7.0], [7.0]], [[7.0], [7.0]]) == "no change"
  assert verdict([[7.0], [7.0]], [[8.0], [8.0]]) == "faster"


def test_the_door_prints_a_verdict_for_each_common_row(tmp_path, write):
  old = [row_of(samples(50, seed=1), "a"), row_of([1.0], "gone")]
  new = [row_of(samples(60, seed=2), "a"), row_of([1.0], "fresh")]
  old, new = write("old.json", old), write("new.json", new)
  ended = enter(tmp_path, "benchmarks.compare", old, new)
  assert ended.status == 0, ended.err
  assert "faster" in ended.out
  assert "only in old.json: gone" in ended.out
  assert "only in new.json: fresh" in ended.out
  assert "commit differs: 'old.json' -> 'new.json'" in ended.out
  ended = enter(tmp_path, "benchmarks.compare", old)
  assert ended.status == 2
  assert "1 file(s) given, but it takes OLD.json NEW.json" in ended.err


def test_one_process_is_marked(write):
  path = write("old.json", [row_of([1.0, 2.0, 3.0])])
  lines = compare.report(path, path)
  assert any("no change*" in line for line in lines)
  assert lines[-1].startswith("* one process")


def test_other_hardware_and_other_benchmarks_are_refused(write):
  rows = [row_of([1.0, 2.0])]
  old = write("old.json", rows)
  for changes, name in (
    ({"hardware": {**HARDWARE, "cpu": "Y"}}, "hardware.cpu: 'Z' -> 'Y'"),
    ({"hardware": {**HARDWARE, "cores": 4}}, "hardware.cores: 2 -> 4"),
    ({"hardware": {**HARDWARE, "gpus": ["H"]}}, "hardware.gpus: "),
    ({"benchmark": "input"}, "benchmark: 'throughput' -> 'input'"),
  ):
    with pytest.raises(UserError) as refused:
      compare.report(old, write("new.json", rows, **changes))
    assert name in str(refused.value)


def test_records_that_share_no_row_or_unit_are_refused(write):
  old = write("old.json", [row_of([1.0])])
  with pytest.raises(UserError, match="no row in common"):
    compare.report(old, write("new.json", [row_of([1.0], "b")]))
  with pytest.raises(UserError, match="`a` is in examples/s"):
    compare.report(old, write("new.json", [row_of([1.0], unit="s")]))
  with pytest.raises(UserError, match="not above 0"):
    compare.report(old, write("new.json", [row_of([0.0])]))


@pytest.mark.parametrize(
  "text", ["", "{", "[]", "{}", '{"rows": [{"name": "a"}]}', "\xff"]
)
def test_damaged_records_are_refused(tmp_path, write, text):
  old = write("old.json", [row_of([1.0])])
  damaged = tmp_path / "new.json"
  damaged.write_bytes(text.encode("latin-1"))
  with pytest.raises(UserError, match="no record of a benchmark, or is damag"):
    compare.report(old, str(damaged))
  damaged.unlink()
  with pytest.raises(UserError, match="cannot be read"):
    compare.report(old, str(damaged))


def test_a_picture_is_drawn_again_from_its_record(tmp_path, write):
  path = write("old.json", [row_of(samples(50, seed=1), "a")])
  ended = enter(tmp_path, "benchmarks.picture", path)
  assert ended.status == 0, ended.err
  picture = tmp_path / "old.png"
  assert ended.out.strip() == str(picture)
  assert picture.read_bytes().startswith(b"\x89PNG")

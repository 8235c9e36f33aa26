"""Where the seconds of a start-up go."""

import json

import pytest

from tests.support.doors import enter


@pytest.mark.slow
def test_the_stages_add_up_to_the_time_of_the_first_step(tmp_path):
  ended = enter(
    tmp_path,
    "benchmarks.startup",
    "--encoder=tiny",
    "--batching=pad",
    "--nowarm",
    "--repeats=1",
    f"--output_dir={tmp_path / 'results'}",
  )
  assert ended.status == 0, ended.err
  (path,) = (tmp_path / "results").iterdir()
  record = json.loads(path.read_text())
  found = {}
  for row in record["rows"]:
    found.setdefault(row["kind"], {})[row["part"]] = row["summary"]["median"]
  seconds, imports = found["stages"], found["libraries"]
  total = seconds.pop("total")
  assert sum(seconds.values()) == pytest.approx(total, abs=0.01)
  for stage in ("interpreter", "imports", "data", "model", "compile"):
    assert seconds[stage] > 0.001, stage
  # TensorFlow's import is most of the imports, and they lie in stages.
  assert max(imports, key=imports.get) == "tensorflow"
  assert sum(imports.values()) < total
  assert [*found["commands"]] == [
    "launch.train --help",
    "launch.predict, one pair",
  ]
  assert "tensorflow" in ended.out
  assert str(path) in ended.out


def test_what_the_door_refuses_is_refused(tmp_path):
  ended = enter(tmp_path, "benchmarks.startup", "--task=nothing")
  assert ended.status == 2
  assert "one of ('demo', 'mrpc', " in ended.err

"""The door that says whether a run is better."""

import numpy as np

from tests.support import doors
from tests.support.finished_runs import drawn, write_run


def test_the_door_compares_two_runs_and_refuses_what_differs(tmp_path):
  labels = np.random.default_rng(0).integers(2, size=200)
  paths = []
  for name, number, gain in (("a", 200, 0.0), ("b", 200, 0.8), ("c", 60, 0.0)):
    outputs = drawn(np.random.default_rng(number), labels[:number], gain)
    paths.append(tmp_path / name)
    write_run(paths[-1], labels=labels[:number], outputs=outputs)
  a, b, c = map(str, paths)
  ended = doors.enter(tmp_path, "launch.compare", a, b, "--flips=1")
  assert ended.status == 0, ended.err
  assert f"verdict  {b} is better (accuracy" in ended.out
  refused = doors.enter(tmp_path, "launch.compare", a, c)
  assert refused.status == 2
  assert "200 and 60 examples" in refused.err
  assert len(refused.err.splitlines()) == 1

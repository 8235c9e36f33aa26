"""Short campaigns of kills, and workers that stop, go on and become fewer."""

import json
import os
import signal

import numpy as np
import pytest

from tests.support import chaos
from tests.support.doors import Door, enter
from tests.support.training import lines


@pytest.mark.slow
def test_killed_runs_become_what_they_are_undisturbed(tmp_path):
  rows, totals = chaos.campaign(
    ["one_device", "two_workers"],
    kills=3,
    seed=3,
    steps=60,
    fresh=False,
    scratch=tmp_path,
  )
  assert [row["kills"] for row in rows] == [2, 1]
  assert sum(totals.values()) == 3
  assert "| two_workers | 1 | 0 | 1 | all |" in chaos.table(rows, totals)


@pytest.mark.slow
def test_all_topologies_train_the_same_run(tmp_path):
  """All that is logged, too, and with the same threads of an op."""
  found = {}
  for topology, (workers, flags) in chaos.TOPOLOGIES.items():
    run = tmp_path / topology
    words = ("--reproducible", "--train_steps=20", f"--model_dir={run}")
    words = (*chaos.SETTINGS, *chaos.QUICK, *words, *flags)
    if workers > 1:
      words = ("launch.cluster", f"--num_workers={workers}", "--", *words)
    else:
      words = ("launch.train", *words)
    ended = enter(tmp_path, *words)
    assert ended.status == 0, ended.err
    result = json.loads((run / "result.json").read_text())
    found[topology] = {
      **chaos.facts_of(run),
      "threads": result["threads"]["intra_op"],
    }
  one = found.pop("one_device")
  assert len(found) == 4 and one["threads"] == len(os.sched_getaffinity(0))
  for topology, facts in found.items():
    assert facts == one, topology


@pytest.mark.slow
def test_a_run_that_moves_becomes_what_it_is_on_one_device(tmp_path):
  rows, _ = chaos.campaign(
    [chaos.MOVING], kills=3, seed=1, steps=60, fresh=False, scratch=tmp_path
  )
  assert rows[0]["kills"] == 3 and rows[0]["moves"] > 0


@pytest.mark.slow
def test_a_longer_campaign_with_new_interpreters(tmp_path):
  rows, _ = chaos.campaign(
    [x for x in chaos.SCENARIOS if x != chaos.MOVING],
    kills=12,
    seed=5,
    steps=185,
    fresh=True,
    scratch=tmp_path,
  )
  assert [row["kills"] for row in rows] == [4, 4, 4]


@pytest.mark.slow
def test_2_workers_stop_together_and_1_goes_on(tmp_path):
  settings = (
    "--task=demo",
    "--encoder=tiny",
    "--train_steps=200",
    "--learning_rate=1e-4",
    "--checkpoint_interval=50",
    "--log_example_ids",
    "--quiet",
  )
  whole, cut = tmp_path / "whole", tmp_path / "cut"
  (tmp_path / "cluster").mkdir()
  cluster = Door(
    tmp_path / "cluster",
    "launch.cluster",
    "--num_workers=2",
    "--max_restarts=3",
    "--",
    *settings,
    f"--model_dir={cut}",
  )
  metrics = cut / "metrics.jsonl"
  while not metrics.exists() or metrics.read_text().count("\n") < 3:
    assert cluster.process.is_alive()
    cluster.process.join(0.01)
  os.kill(cluster.process.pid, signal.SIGTERM)
  ended = cluster.end()
  assert ended.status == os.EX_TEMPFAIL, ended.out + ended.err
  said = [x for x in ended.out.splitlines() if "stopped at step" in x]
  stops = {x.split("stopped at step ")[1].split(",")[0] for x in said}
  assert (len(said), len(stops)) == (2, 1), ended.out

  assert not enter(
    tmp_path, "launch.train", *settings, f"--model_dir={whole}"
  ).status
  resumed = enter(tmp_path, "launch.train", *settings, f"--model_dir={cut}")
  assert resumed.status == 0, resumed.err
  one, other = (
    json.loads((path / "result.json").read_text()) for path in (whole, cut)
  )
  assert (other["restarts"], other["workers"]) == (1, 1)
  ids = [lines(x, None, "example_ids.jsonl") for x in (whole, cut)]
  assert ids[0] == ids[1] and len(ids[0]) == 200
  np.testing.assert_allclose(
    one["eval"]["loss"], other["eval"]["loss"], rtol=1e-4
  )

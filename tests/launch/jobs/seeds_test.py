"""Several seeds: each a run of its own."""

import json
import signal

import psutil
import pytest

from engine.errors import UserError
from launch.jobs.seeds import parse_seeds
from tests.support.doors import Door, enter

DIGITS = (
  "--task=examples.digits:Digits",
  "--train_steps=150",
  "--checkpoint_interval=10",
  "--steps_per_loop=1",
)


TINY = (
  "--task=demo",
  "--encoder=tiny",
  "--train_steps=60",
  "--checkpoint_interval=5",
  "--steps_per_loop=1",
)


@pytest.mark.parametrize(
  ("text", "seeds"),
  [("0-3", [0, 1, 2, 3]), ("0,3,5", [0, 3, 5]), ("7, 0-1", [7, 0, 1])],
)
def test_seeds_are_a_range_or_a_list(text, seeds):
  assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
  ("text", "complaint"),
  [
    ("x", "must be like 0-9 or 0,3,5"),
    ("3-1", "must be like"),
    ("1,", "must be like"),
    ("-1", "must be like"),
    ("0-2,1", "names a seed twice"),
    ("0-99999999999", "must be like"),
    ("0-9999999999", "must name at most 10,000"),
    (",".join(["0-9999", "10000-19999"]), "must name at most 10,000"),
    ("٣-٥", "must be like"),
    ("x" * 10**6, "must be like"),
  ],
)
def test_what_names_no_seeds_is_refused(text, complaint):
  with pytest.raises(UserError, match=complaint):
    parse_seeds(text)


@pytest.mark.parametrize(
  ("flags", "complaint"),
  [
    (["--seed=3"], "`seeds` and `seed` are both given"),
    (["--params_override=train.seed=3"], "`seeds` and `seed` are both given"),
    (["--mode=eval"], "`mode` is 'eval', but --seeds compares evaluations"),
    (["--worker_hosts=a:1,b:1"], "has 2 workers: give each run"),
    (["--seeds=2147483648"], "`seed` is 2147483648, but must be"),
  ],
)
def test_what_does_not_go_with_seeds_is_refused(tmp_path, flags, complaint):
  ended = enter(
    tmp_path,
    "launch.train",
    "--task=demo",
    f"--model_dir={tmp_path / 'm'}",
    "--seeds=0-1",
    *flags,
  )
  assert ended.status == 2
  assert complaint in ended.err
  assert ended.err.count("\n") == 1
  assert not (tmp_path / "m").exists()


def test_each_seed_keeps_its_programs(tmp_path):
  """That of a run with fixed bits has a folder of its own."""
  ended = Door(
    tmp_path,
    "launch.train",
    *DIGITS[:1],
    "--train_steps=2",
    "--seeds=0",
    "--reproducible",
    f"--compile_cache={tmp_path / 'cache'}",
    f"--model_dir={tmp_path / 'm'}",
    environ={"TF_XLA_FLAGS": ""},
  ).end()
  assert ended.status == 0, ended.out + ended.err
  (folder,) = (tmp_path / "cache").iterdir()
  assert folder.name.startswith("programs-")


@pytest.mark.parametrize(
  "flags", [DIGITS, pytest.param(TINY, marks=pytest.mark.slow)]
)
def test_seeds_killed_in_the_middle_go_on(tmp_path, flags):
  """What has finished is not run again; the rest ends as if never killed."""
  model_dir, alone = tmp_path / "m", tmp_path / "alone"
  for seed, directory in ((0, model_dir / "seed_0"), (1, alone)):
    ended = enter(
      tmp_path,
      "launch.train",
      *flags,
      f"--seed={seed}",
      f"--model_dir={directory}",
    )
    assert ended.status == 0, ended.err
  command = ("launch.train", *flags, f"--model_dir={model_dir}", "--seeds=0-1")
  before = (model_dir / "seed_0" / "result.json").stat().st_mtime_ns

  door = Door(tmp_path, *command)
  metrics = model_dir / "seed_1" / "metrics.jsonl"
  while not metrics.exists() or metrics.read_text().count("\n") < 8:
    assert door.process.is_alive()
    door.process.join(0.01)
  (child,) = psutil.Process(door.process.pid).children()
  child.kill()
  ended = door.end()
  assert ended.status == 128 + signal.SIGKILL, ended.err
  assert "seed 0: finished before" in ended.out
  report = json.loads((model_dir / "seeds.json").read_text())
  assert [run["finished"] for run in report["runs"]] == [True, False]

  ended = enter(tmp_path, *command, "--quiet")
  assert ended.status == 0, ended.out + ended.err
  assert ended.out.startswith("seed ")  # The table alone.
  report = json.loads((model_dir / "seeds.json").read_text())
  whole = json.loads((alone / "result.json").read_text())
  assert report["runs"][1]["weights_sha256"] == whole["weights_sha256"]
  assert report["metrics"]["accuracy"]["runs"] == 2
  assert (model_dir / "seed_0" / "result.json").stat().st_mtime_ns == before
  resumed = json.loads((model_dir / "seed_1" / "result.json").read_text())
  assert resumed["restarts"] == 1
  one, other = (
    [json.loads(line)["step"] for line in path.open()]
    for path in (metrics, alone / "metrics.jsonl")
  )
  assert one == other

  refused = enter(tmp_path, *command, "--learning_rate=0.5")
  assert refused.status == 2
  assert "optimizer.learning_rate: 0.0" in refused.err

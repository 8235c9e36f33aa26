"""A run's own files are read as they must be, or from a second copy."""

import json

import pytest

from engine.config import ExperimentConfig, TaskConfig
from engine.durability import manifest
from engine.durability.run_directory import RunDirectory
from engine.errors import Damaged, UserError
from engine.settings import identity
from tests.engine.durability.checkpoints_test import rewrite, save

CONFIG = ExperimentConfig(task=TaskConfig(name="demo"))
RESULT = {
  "global_step": 3,
  "eval": None,
  "train": {"timed_steps": 0},
  "ledger": {"step": 1.0},
  "checkpoints": {"stall_seconds_mean": 0.0},
  "replicas": 1,
  "precision": "float32",
  "command": "",
}


@pytest.fixture
def run(tmp_path):
  """A run with one checkpoint, whose manifest has all settings."""
  run = RunDirectory(str(tmp_path / "run"))
  run.create(CONFIG, ["train.seed"])
  prefix = save(run.checkpoints)
  manifest.write_manifest(
    prefix,
    step=3,
    config=identity(CONFIG),
    versions={},
    settings=run.settings(CONFIG),
  )
  return run


def damage(run, name, content):
  with open(run.file(name), "wb") as file:
    file.write(content)
  return RunDirectory(run.path)


@pytest.mark.parametrize("name", ["r[1]", "r*", "a?/run", "a\\b"])
def test_a_name_that_tensorflow_takes_for_a_pattern_is_refused(name):
  with pytest.raises(
    UserError, match="takes for a pattern: rename it, or name"
  ):
    RunDirectory(name)


@pytest.mark.parametrize(
  "content",
  [b"", b"- a", b"5", b"a: b: c", b"\xff", b"a: b\n", b"[" * 9999, b"&a [*a]"],
)
def test_a_damaged_config_is_taken_from_a_checkpoint(run, content, caplog):
  config = run.read_config()
  again = damage(run, "config.yaml", content)
  assert again.read_config() == config
  assert again.changed() == ["train.seed"]
  assert again.check(CONFIG) == []
  assert RunDirectory(run.path).read_config() == config
  assert caplog.text.count("config.yaml is damaged") == 1
  assert "the settings that" in caplog.text


def test_any_flipped_byte_of_a_config_is_damage_or_means_nothing(run):
  config = run.read_config()
  with open(run.file("config.yaml"), "rb") as file:
    content = file.read()
  for at in range(0, len(content), 7):
    flipped = bytes([content[at] ^ 1])
    again = damage(
      run, "config.yaml", content[:at] + flipped + content[at + 1 :]
    )
    assert again.read_config() == config, at


def test_a_config_of_an_older_version_has_no_digest_and_few_settings(run):
  prefix = manifest.prefixes(run.checkpoints)[0]
  rewrite(prefix, old=True)
  again = damage(run, "config.yaml", b"task: {name: demo}\ntrain: {seed: 0}\n")
  assert again.read_config() == {"task": {"name": "demo"}, "train": {"seed": 0}}
  again = damage(run, "config.yaml", b"\xff")
  assert again.read_config()["train"]["seed"] == CONFIG.train.seed
  assert again.check(CONFIG) == []


def test_a_damaged_config_without_a_copy_is_one_error(tmp_path):
  run = RunDirectory(str(tmp_path / "run"))
  assert run.read_config() is None
  run.create(CONFIG)
  with pytest.raises(
    Damaged, match=r"config.yaml is damaged .*: bring it back"
  ):
    damage(run, "config.yaml", b"\xff").read_config()


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"5",
    b'"x"',
    b"\xff",
    b'{"eval": {"loss": 1.0}}',
    json.dumps({**RESULT, "eval": []}).encode(),
    json.dumps({**RESULT, "weights_sha256": {}}).encode(),
  ],
)
def test_a_damaged_result_is_none_as_the_run_makes_it_anew(
  run, content, caplog
):
  run.write_result(RESULT)
  assert run.result() == RESULT
  assert damage(run, "result.json", content).result() is None
  assert "result.json is damaged" in caplog.text


def test_a_result_of_which_one_digit_was_altered_is_none(run, caplog):
  of_seeds = {**RESULT, "replicas": 1, "seeds": {10: 0.5, 9: 0.25}}
  run.write_result(of_seeds)
  assert run.result()["replicas"] == 1
  with open(run.file("result.json"), "rb") as file:
    content = file.read().replace(b'"replicas": 1', b'"replicas": 2')
  assert damage(run, "result.json", content).result() is None
  assert "its own digest differs" in caplog.text


@pytest.mark.parametrize("folder", ["checkpoints", "best", "assets"])
def test_a_link_or_a_file_in_the_place_of_a_folder_is_refused(tmp_path, folder):
  root = tmp_path / "run"
  root.mkdir()
  (root / folder).symlink_to(tmp_path)
  with pytest.raises(UserError, match=f"{folder} is no directory of its own"):
    RunDirectory(str(root)).check(CONFIG)
  (root / folder).unlink()
  (root / folder).touch()
  with pytest.raises(UserError, match=f"{folder} is no directory"):
    RunDirectory(str(root)).check(CONFIG)


def test_a_stop_file_is_taken_and_what_is_none_stays(run, tmp_path):
  assert run.take_stop_file()
  stop, kept = tmp_path / "run" / "stop", tmp_path / "kept"
  stop.touch()
  assert run.take_stop_file() and not stop.exists()
  stop.mkdir()
  assert not run.take_stop_file() and stop.is_dir()
  stop.rmdir()
  kept.touch()
  stop.symlink_to(kept)
  assert not run.take_stop_file() and kept.exists()

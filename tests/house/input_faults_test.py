"""Inputs that somebody else has written are believed by no door."""

import dataclasses
import json
import os
import shutil
import sys

import numpy as np
import pytest
import yaml

from engine.cluster import peers
from engine.config import TrainConfig
from engine.durability import assets
from engine.durability.run_directory import RunDirectory
from engine.errors import UserError
from engine.loop.epochs import epoch_ends
from engine.process.supervisor import Supervisor
from engine.run.experiment import Experiment
from launch.command import configs
from launch.jobs import encoding
from launch.trained.restored import restore_run
from tasks import registry
from tasks.config import SentencePairConfig
from tasks.data import published
from tasks.data.datasets import open_split
from tasks.named_sets import NAMED_SETS
from tests.support.testing import SHARED

FAULTS = os.path.join(SHARED, "faults")
needs_faults = pytest.mark.skipif(
  not os.path.isdir(FAULTS), reason="../shared/faults is not there"
)

BOMB = "a0: &a [x]\n" + "".join(
  f"a{i}: &{chr(97 + i)} [{', '.join([f'*{chr(96 + i)}'] * 9)}]\n"
  for i in range(1, 12)
)


@pytest.mark.parametrize(
  ("text", "complaint"),
  [
    (b"\xff\xfe\x00", "cannot be read"),
    ("[" * 20_000, "nested more than 32 deep"),
    ("{a: " * 5_000, "nested more than 32 deep"),
    ("train: &t {x: *t}", "holds itself"),
    (BOMB, "more than 65,536 values"),
    ("x" * 10**6, "more than 262,144 characters"),
    ("train: {seed: 1}\ntrain: {seed: 2}", "'train' is given twice"),
    ("train: {seed: %s}" % ("1" * 5000), "digits"),
    ("train: {epochs: %s}" % ("1" * 400), "at most 1000000"),
    ("task: {text_a: 9999-99-99}", "month must be in"),
    ("a: !!timestamp x", "cannot be read"),
    ("a: !!bool x", "cannot be read"),
    ("task: {classes: abc}", "Wrong type"),
    ("task: {classes: [a, a]}", "two or more, all different"),
    ('task: {train_file: "a\\0"}', "without a zero byte"),
    ("train: {seed: true}", "`seed` is True, but must be a number"),
    ("train: {seed: 1:30}", "Wrong type"),
    ("train: {seed: 010}", "Wrong type"),
    ("train: {train_steps: 99999999999}", "below 2\\*\\*31"),
    ("runtime: {num_virtual_devices: 100000000}", "at most 1024"),
    ("runtime: {steps_per_loop: 1000000000}", "at most 10000"),
    ("runtime: {startup_timeout: 1.0e+300}", "at most 1000000"),
    ("runtime: {profile_steps: ٣-٥}", "as 100-110"),
    ("evaluation: {split: ../../x}", "must be names of splits"),
    ("evaluation: {split: 'dev,dev'}", "each given once"),
    ("optimizer: {epsilon: -1}", "0 or more"),
  ],
)
def test_odd_settings_are_refused_in_one_line(tmp_path, text, complaint):
  path = tmp_path / "c.yaml"
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  with pytest.raises(UserError, match=complaint):
    configs.build_config([configs.read_file(str(path))])


def test_a_split_is_one_that_the_set_has(tmp_path):
  (tmp_path / "t.tsv").write_text("text_a\ttext_b\tlabel\na\tb\ty\n")
  own = SentencePairConfig(name="pairs", eval_file=f"{tmp_path}/t.tsv")
  assert open_split(own, "dev")
  with pytest.raises(
    UserError, match="'dve' of pairs: use one of dev, test, t"
  ):
    open_split(own, "dve")
  named = SentencePairConfig(name="mnli", eval_file=f"{tmp_path}/t.tsv")
  assert open_split(named, "dev_matched")
  with pytest.raises(UserError, match="'x' of mnli: use one of .*dev_matched"):
    open_split(named, "x")


def test_more_epochs_than_memory_holds_are_refused():
  train = TrainConfig(train_steps=2**31 - 1)
  with pytest.raises(UserError, match="at most 2,000,000 epochs of the 8 exam"):
    epoch_ends(train, 8)
  assert epoch_ends(TrainConfig(train_steps=4), 64) == [2, 4]


def stranger(directory, name):
  """A run directory whose settings name a task beside them."""
  (directory / "evil_task.py").write_text(
    "open('IMPORTED', 'w').close()\nclass X: pass\n"
  )
  (directory / "config.yaml").write_text(
    json.dumps({"task": {"name": name}, "train": {}})
  )


def test_code_that_a_run_names_needs_the_users_word(tmp_path, monkeypatch):
  stranger(tmp_path, "evil_task:X")
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, "path", ["", *sys.path])
  with pytest.raises(UserError, match="trust it, add --task=evil_task:X$"):
    restore_run(".")
  with pytest.raises(UserError, match="is 'evil_task:Y', but .* 'evil_task:X'"):
    restore_run(".", task_name="evil_task:Y")
  assert not os.path.exists("IMPORTED")
  with pytest.raises(UserError, match="is no task"):
    restore_run(".", task_name="evil_task:X")
  assert os.path.exists("IMPORTED")


def test_a_package_of_our_name_that_lies_elsewhere_is_not_ours(
  tmp_path, monkeypatch
):
  registry.check_trusted("examples.digits:Digits", "", "it")
  (tmp_path / "examples").mkdir()
  (tmp_path / "examples" / "__init__.py").touch()
  monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
  with pytest.raises(UserError, match="add --task=examples.digits:Digits"):
    registry.check_trusted("examples.digits:Digits", "", "it")


@needs_faults
def test_the_strangers_run_is_not_imported(tmp_path, monkeypatch):
  run = shutil.copytree(f"{FAULTS}/config_imports/run", tmp_path / "run")
  monkeypatch.chdir(run)
  with pytest.raises(UserError, match="add --task=evil:X"):
    restore_run(".")
  assert "evil" not in sys.modules


def test_changed_assets_are_refused_before_anything_is_written(tmp_path):
  config = configs.build_config(
    [{"task": {"encoder": "tiny"}, "runtime": {"quiet": True}}]
  )
  task = registry.build_task(config.task)
  run = RunDirectory(str(tmp_path))
  run.prepare()
  run.create(config)
  task.save_assets(run.assets)
  assets.seal(run)
  path = tmp_path / "assets" / "classes.json"
  path.write_text(json.dumps(json.loads(path.read_text())[::-1]))
  before = sorted(os.listdir(tmp_path))
  experiment = Experiment(config=config, task=task, model_dir=str(tmp_path))
  for begin in (
    lambda: restore_run(str(tmp_path)),
    lambda: experiment.run("eval"),
  ):
    with pytest.raises(UserError, match="classes.json was changed since"):
      begin()
  assert sorted(os.listdir(tmp_path)) == before


def pairs_of(**spoilt):
  rows = {
    "sentence1": np.array([b"a", b"b"]),
    "sentence2": np.array([b"c", b"d"]),
    "label": np.array([0, 1]),
    **spoilt,
  }
  named = NAMED_SETS["mrpc"]
  with published.damage_named(named, SentencePairConfig(name="mrpc"), "/d"):
    return published.checked(rows, named, 2)


@pytest.mark.parametrize(
  ("spoilt", "complaint"),
  [
    ({"label": np.array([0, 7])}, "none of 2 classes"),
    ({"label": np.array([0, -3])}, "none of 2 classes"),
    ({"label": np.array([0])}, "1 of 2 pairs are left"),
    ({"sentence1": np.array([b"\xff", b"b"])}, "UnicodeDecodeError"),
    ({"sentence2": np.array([1, 2])}, "AttributeError"),
  ],
)
def test_what_tfds_has_is_looked_at(spoilt, complaint):
  assert len(pairs_of()["label"]) == 2
  with pytest.raises(UserError, match=f"in /d cannot be read .*{complaint}"):
    pairs_of(**spoilt)


def test_a_pipe_in_a_tfds_directory_holds_nobody_up(tmp_path):
  folder = tmp_path / "glue" / "mrpc" / "2.0.0"
  folder.mkdir(parents=True)
  os.mkfifo(folder / "dataset_info.json")
  config = SentencePairConfig(name="mrpc", data_dir=str(tmp_path))
  with pytest.raises(UserError, match="cannot be read .*is no regular file"):
    published.read_tfds(config, "train", None)


def test_a_damaged_tfds_directory_is_named(tmp_path):
  directory = tmp_path / "glue" / "mrpc" / "2.0.0"
  directory.mkdir(parents=True)
  for name in ("dataset_info.json", "features.json"):
    (directory / name).write_text("{")
  config = SentencePairConfig(name="mrpc", data_dir=str(tmp_path))
  with pytest.raises(UserError, match="glue/mrpc in .* cannot be read"):
    published.read_tfds(config, "train", None)


def test_beam_is_looked_for_before_anything_is_written(monkeypatch):
  monkeypatch.setitem(sys.modules, "apache_beam", None)
  with pytest.raises(UserError, match="needs Apache Beam"):
    encoding.check_beam()


def test_the_last_line_of_a_rank_is_cleaned_and_cut(capsys):
  class Failed:
    pid = 1

    def poll(self):
      return 3

    def send_signal(self, number):
      raise AssertionError(number)

  status = Supervisor(
    start=lambda index, variables: Failed(),
    names=["it"],
    last_line=lambda index: "\x1b[31m" + "x " * 10**6 + "the end",
  ).run()
  said = capsys.readouterr().err
  assert status == 3
  assert len(said) < 400 and said[:-1].isprintable()
  assert "its last line: \\x1b[31mx" in said and said.endswith("the end\n")


def test_silence_is_heard_at_an_address_in_brackets(monkeypatch):
  called = []

  def connect(address, timeout):
    called.append(address)
    raise OSError

  monkeypatch.setattr(peers.socket, "create_connection", connect)
  assert peers._silent("[::1]:5")
  assert called == [("::1", 5)]


def test_what_config_yaml_holds_is_read_as_it_was_written(tmp_path):
  config = configs.build_config([{"task": {"classes": ["010", "1:30", "no"]}}])
  path = tmp_path / "config.yaml"
  path.write_text(yaml.safe_dump(dataclasses.asdict(config)))
  assert configs.from_dict(configs.read_file(str(path))) == config

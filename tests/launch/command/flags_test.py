"""Flags come from the fields of settings, and keep their names."""

import os
import re
import subprocess
import sys

import pytest

from engine.settings import fields_of
from launch.command import configs
from launch.command.flags import in_group, is_rare, settings
from tasks.config import DATA
from tests.support.testing import ROOT

# Other programs rely on these names.
PAIRS = """
  classes columns data_dir eval_file eval_files eval_fraction file_format
  kind label quoting skip_bad_lines task test_file text_a text_b train_file
  train_files unlabelled weight
"""
RUN = f"""
  {PAIRS}
  accumulate_steps async_checkpoint batching best_metric best_to_keep casing
  canonical_shares checkpoint_minutes class_weights clip_norm communication
  compile_cache deterministic drop_leaks dropout encoder epochs
  eval_batch_size eval_interval eval_split
  freeze global_batch_size grace_seconds init_from keep_every_n_hours
  label_smoothing learning_rate max_seq_length max_to_keep memory_growth
  num_virtual_devices on_damaged_shard on_nonfinite pack_megabytes patience
  positive precision profile_steps quiet reproducible seed shapes
  startup_timeout stop_file strategy threads tpu train_steps warmup_ratio
  weight_decay worker_hosts worker_index xla
"""
LAYERS = "config_file params_override"
RESTARTS = "grace max_restarts stall_timeout"
NAMES = {
  "train": f"""
    {RUN} {LAYERS} action allow_config_change allow_other_files calibrate
    train_fraction checkpoint_interval check_resume log_example_ids log_interval
    log_weights_digest metric mode model_dir seeds steps_per_loop
  """,
  "plan": f"""
    {RUN} {LAYERS} chip_config compile_timeout largest_batch output plan_python
    topology
  """,
  "inspect": f"""
    {PAIRS} {LAYERS} encoder epochs global_batch_size learning_rate out seed
    split train_steps
  """,
  "encode": f"""
    {PAIRS} {LAYERS} beam casing encoder format max_seq_length output_dir
    shard_size splits workers
  """,
  "predict": """
    batch_size calibrated checkpoint columns data_dir eval_file eval_files
    file_format input model_dir output quoting skip_bad_lines split symmetric
    task test_file text_a text_b train_file train_files
  """,
  "export": "calibrated checkpoint export_dir format model_dir task",
  "cluster": f"{RESTARTS} num_workers",
  "supervise": RESTARTS,
  "checkpoints": "dry_run keep model_dir other_dir other_step step",
  "doctor": "gpus model_dir smoke timeout",
  "search": f"""
    {RUN} {LAYERS} checkpoint_interval check_resume finalists log_example_ids
    log_interval log_weights_digest metric model_dir prune seeds space
    steps_per_loop trials
  """,
  "report": "output",
}

# What launchers or curious people set.
RARE = """
  accumulate_steps action allow_config_change allow_other_files async_checkpoint
  best_metric best_to_keep calibrate canonical_shares casing check_resume
  checkpoint_minutes class_weights classes clip_norm columns communication
  compile_cache
  deterministic drop_leaks
  eval_batch_size eval_files eval_fraction eval_interval eval_split file_format
  freeze
  grace_seconds init_from
  keep_every_n_hours label_smoothing log_example_ids log_interval
  log_weights_digest max_seq_length max_to_keep memory_growth metric
  on_damaged_shard on_nonfinite pack_megabytes patience positive profile_steps
  quoting
  reproducible shapes
  skip_bad_lines
  startup_timeout steps_per_loop stop_file test_file threads train_files
  train_fraction unlabelled warmup_ratio weight weight_decay worker_hosts
  worker_index xla
"""

PRINT = """
import importlib, sys
importlib.import_module(sys.argv[1])
from absl import flags
modules = flags.FLAGS.flags_by_module_dict()
print(*(x.name for k in modules if k.startswith("launch.") for x in modules[k]))
print("tensorflow" in sys.modules)
"""


def python(*arguments):
  return subprocess.run(
    [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True
  )


@pytest.mark.parametrize("door", NAMES)
def test_a_door_has_its_flags_before_tensorflow_is_there(door):
  ended = python("-c", PRINT, f"launch.{door}")
  assert ended.returncode == 0, ended.stderr
  names, has_tensorflow = ended.stdout.splitlines()
  assert sorted(names.split()) == sorted(NAMES[door].split())
  assert has_tensorflow == "False"


def test_the_rare_ones_are_shown_by_helpfull_only():
  shown = python("-m", "launch.train", "--help").stdout
  full = python("-m", "launch.train", "--helpfull").stdout
  for name in NAMES["train"].split():
    assert f"-{name}:" in full or f"]{name}:" in full, name
    assert (f"  --{name} " in shown) == (name not in RARE.split()), name


def test_helpfull_has_the_settings_without_a_flag_too():
  ended = python("-m", "launch.train", "--helpfull")
  full = ended.stdout
  assert ended.returncode == 0
  for path, field, _ in fields_of(configs.build_config([])):
    if not field.metadata.get("flag") and field.metadata["help"]:
      assert f"{path}: " in full, path


@pytest.mark.parametrize(
  ("arguments", "complaint"),
  [
    (["--flagfile=binary"], "A file of --flagfile is not UTF-8"),
    (["--flagfile", "pipe"], "`flagfile` pipe is no file"),
    (["--flagfile=deep"], "files of --flagfile name each other"),
    (["--" + "x" * 100_000], "A flag is too long"),
    ([b"--output=a\xffb"], "'--output=a.udcffb' is not UTF-8: rename"),
  ],
)
@pytest.mark.parametrize("door", ["report", "compare"])
def test_words_that_no_door_can_take(tmp_path, door, arguments, complaint):
  (tmp_path / "binary").write_bytes(b"--output=\xff")
  os.mkfifo(tmp_path / "pipe")
  for i in range(1500):
    (tmp_path / f"{i}").write_text(f"--flagfile={i + 1}\n")
  (tmp_path / "deep").write_text("--flagfile=0\n")
  ended = subprocess.run(
    [sys.executable, "-m", f"launch.{door}", *arguments],
    capture_output=True,
    text=True,
    cwd=tmp_path,
    env={**os.environ, "PYTHONPATH": ROOT},
  )
  assert ended.returncode == 2, ended.stderr
  assert re.search(complaint, ended.stderr)
  assert len(ended.stderr.splitlines()) == 1
  assert len(ended.stderr) < 350


def test_each_field_with_a_flag_has_one_of_its_own():
  config = configs.default_config()
  flags = [field.metadata["flag"] for _, field, _ in fields_of(config)]
  names = [
    x for known, s in settings().items() for x in (known, *s.flag.aliases)
  ]
  assert len(settings()) == sum(flag is not None for flag in flags)
  assert len(set(names)) == len(names)
  assert set(in_group(DATA)) == {x for x in PAIRS.split() if x in settings()}
  assert not is_rare("model_dir")


ONE_MORE_FIELD = """
import dataclasses, runpy
import engine.config
from engine.settings import Flag, setting

@dataclasses.dataclass(frozen=True, kw_only=True)
class Wider(engine.config.TrainConfig):
  hats: int = setting(3, "Hats.", Flag(aliases=("caps",)), min=1)

@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(engine.config.ExperimentConfig):
  train: Wider = Wider()

engine.config.TrainConfig = Wider
engine.config.ExperimentConfig = Experiment
runpy.run_module("launch.train", run_name="__main__", alter_sys=True)
"""


def test_a_setting_is_one_field():
  """With it come flag, type, help, check and override."""
  door = ("-c", ONE_MORE_FIELD)
  assert (
    "  --hats                 Hats. [3]\n" in python(*door, "--help").stdout
  )
  for flag, complaint in (
    ("--hats=0", "`hats` is 0, but must be 1 or more."),
    ("--caps=0", "`hats` is 0, but must be 1 or more."),
    ("--hats=x", "flag --hats=x: invalid literal for int()"),
    ("--params_override=train.hats=0", "`hats` is 0, but must be 1 or more."),
    ("--params_override=train.hat=0", "did you mean `train.hats`?"),
    ("--hats=2", "`model_dir` is not given"),
  ):
    ended = python(*door, flag)
    assert (ended.returncode, complaint in ended.stderr) == (2, True), ended

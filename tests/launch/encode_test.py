"""The door that encodes: killed, wrong, on Beam, and trained from."""

import importlib.util
import json
import os
import re

import pytest

from tasks.data import record_files
from tests.support.doors import TINY, Door, enter
from tests.support.testing import tiny_task

FLAGS = ("--task=demo", "--encoder=tiny", "--splits=train,dev")
needs_beam = pytest.mark.skipif(
  importlib.util.find_spec("apache_beam") is None,
  reason="Apache Beam is not installed: pip install apache-beam",
)


def files_of(directory):
  return sorted(x for x in os.listdir(directory) if x.startswith("train-"))


def found_by(ended):
  """How many files a door found."""
  return int(re.search(r"(\d+) of them there", ended.out)[1])


def is_whole(directory):
  source = tiny_task(train_file=f"{directory}/train-*").source("train")
  return source.digest() == tiny_task().source("train").digest()


def test_a_killed_encoding_loses_no_whole_file(tmp_path):
  out = tmp_path / "out"
  arguments = (*FLAGS, "--shard_size=16", "--workers=2", f"--output_dir={out}")
  killed = Door(tmp_path, "launch.encode", *arguments)
  while killed.process.is_alive() and not (out.exists() and files_of(out)):
    killed.process.join(0.01)
  killed.process.kill()
  assert killed.end().status == -9
  there = {
    name: os.stat(out / name).st_ino
    for name in files_of(out)
    if name.endswith(".tfrecord")
  }
  assert there
  assert not (out / record_files.META).exists()
  arguments = (*arguments, "--workers=1")  # Any number goes on.
  again = enter(tmp_path, "launch.encode", *arguments)
  assert again.status == 0, again.err
  assert all(os.stat(out / name).st_ino == there[name] for name in there)
  assert len(there) <= found_by(again) < len(files_of(out))
  assert not list(out.glob("*.part*"))
  assert is_whole(out)
  third = enter(tmp_path, "launch.encode", *arguments)
  assert third.status == 0
  assert found_by(third) == len(list(out.glob("*.tfrecord")))


def test_training_from_files_is_the_same_training(trained, tmp_path):
  files = []
  for split, setting, form in (
    ("train", "train_files", "arrays"),
    ("dev", "eval_files", "tfrecord"),
  ):
    out = tmp_path / form
    ended = enter(
      tmp_path,
      "launch.encode",
      *FLAGS[:2],
      f"--splits={split}",
      f"--format={form}",
      "--shard_size=300",
      f"--output_dir={out}",
    )
    assert ended.status == 0, ended.err
    files.append(f"--{setting}={out}/{split}-*")
  ended = enter(
    tmp_path, "launch.train", *TINY, f"--model_dir={tmp_path}/run", *files
  )
  assert ended.status == 0, ended.err
  one, other = (
    json.loads((run / "result.json").read_text())
    for run in (trained[0], tmp_path / "run")
  )
  assert one["weights_sha256"] == other["weights_sha256"]
  assert one["eval"] == other["eval"]


@needs_beam
def test_beam_makes_the_same_files(tmp_path):
  arguments = (*FLAGS, "--shard_size=300")
  for name, more in (("ours", ()), ("beam", ("--beam",))):
    ended = enter(
      tmp_path,
      "launch.encode",
      *arguments,
      f"--output_dir={tmp_path}/{name}",
      *more,
    )
    assert ended.status == 0, ended.err
  assert files_of(tmp_path / "ours") == files_of(tmp_path / "beam")
  for name in files_of(tmp_path / "ours"):
    one, other = (tmp_path / x / name for x in ("ours", "beam"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
  "flags, complaint",
  [
    (("--output_dir=",), "`output_dir` is not given"),
    (("--splits=train,nothing",), "nothing"),
    (("--task=pairs", "--splits=train"), "`train_file` is not given"),
    (("--train_file={out}/train-*",), "is encoded already"),
    (("--", "--runner=FlinkRunner"), "add --beam"),
    (("--encoder=elsewhere",), "elsewhere"),
    (("--shard_size=0",), "shard_size"),
    (("--format=arrays", "--output_dir=gs://b/c"), "--format=tfrecord"),
  ],
)
def test_what_cannot_be_encoded_is_said(tmp_path, flags, complaint):
  (tmp_path / "train-0.tfrecord").write_bytes(b"")
  flags = [flag.format(out=tmp_path) for flag in flags]
  defaults = [x for x in FLAGS if x.split("=")[0] not in "".join(flags)]
  if not any(flag.startswith("--output_dir") for flag in flags):
    defaults.append(f"--output_dir={tmp_path}/out")
  ended = enter(tmp_path, "launch.encode", *defaults, *flags)
  assert ended.status == 2, ended.err
  assert complaint in ended.err
  assert len(ended.err.splitlines()) == 1

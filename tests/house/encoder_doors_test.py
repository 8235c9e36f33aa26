"""Directories of encoders at the door: trained, or refused in one line."""

import json
import os

import pytest

from tests.support import families
from tests.support.doors import TINY, enter


def train(tmp_path, encoder, *flags):
  """The door, its arguments those of a short run on an encoder."""
  return enter(
    tmp_path,
    "launch.train",
    *TINY,
    f"--encoder={encoder}",
    "--train_steps=2",
    "--mode=train",
    f"--model_dir={tmp_path}/run",
    *flags,
  )


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(x, marks=[] if x == "modernbert" else pytest.mark.slow)
    for x in families.FAMILIES
  ],
)
def test_a_directory_of_each_family_is_trained(tmp_path, name):
  path = families.write(name, str(tmp_path / "made"))
  ended = train(tmp_path, path)
  assert ended.status == 0, ended.err
  with open(tmp_path / "run" / "result.json") as file:
    assert json.load(file)["global_step"] == 2


def of_another_architecture(path):
  with open(f"{path}/config.json") as file:
    values = json.load(file)
  with open(f"{path}/config.json", "w") as file:
    json.dump({**values, "model_type": "deberta-v2"}, file)


def without_a_tokenizer(path):
  os.remove(f"{path}/tokenizer.json")


def nothing(path):
  pass


@pytest.mark.parametrize(
  "damage, flags, complaint",
  [
    (
      of_another_architecture,
      (),
      "'deberta-v2': what can be read is bert, cam",
    ),
    pytest.param(
      *(without_a_tokenizer, (), "must name a directory with vocab.txt or"),
      marks=pytest.mark.slow,
    ),
    pytest.param(
      *(nothing, ("--max_seq_length=129",), "129, but must be at most 128"),
      marks=pytest.mark.slow,
    ),
    pytest.param(
      *(nothing, ("--freeze=embeddings,0-1",), "all 2 blocks of the encoder"),
      marks=pytest.mark.slow,
    ),
  ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
  tmp_path, damage, flags, complaint
):
  path = families.write("roberta", str(tmp_path / "made"))
  damage(path)
  ended = train(tmp_path, path, *flags)
  assert ended.status == 2
  (line,) = (x for x in ended.err.splitlines() if x.startswith("train.py: "))
  assert complaint in line
  assert ended.err.splitlines()[-1] == line

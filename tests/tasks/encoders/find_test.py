"""`--encoder` knows each kind of place, or says what it could have been."""

import os

import numpy as np
import pytest
import tensorflow as tf

from engine.errors import UserError
from tasks.encoders import find as encoders
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.sources.place import is_handle
from tests.support import doors
from tests.tasks.encoders.bert.entry import write_garden
from tests.tasks.encoders.entry import batch_of, initialized, task_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))


def test_a_directory_is_read_where_it_is(tmp_path):
  """`ram://` stands for `gs://`: only TensorFlow can read either."""
  local, remote = write_garden(tmp_path / "garden"), "ram://encoders/garden"
  tf.io.gfile.makedirs(remote)
  for name in os.listdir(local):
    tf.io.gfile.copy(os.path.join(local, name), f"{remote}/{name}", True)
  assert encoders.find(remote).directory == remote
  task = task_of(remote)
  features = batch_of(task).tokens
  here, there = (initialized(x).encoder for x in (task_of(local), task))
  np.testing.assert_array_equal(here(features)[1], there(features)[1])
  task.save_assets(str(tmp_path))
  assert BertConfig.read(str(tmp_path / "bert_config.json")).num_hidden_layers


def test_what_a_run_keeps_is_found_again(tmp_path):
  task_of(write_garden(tmp_path / "garden")).save_assets(str(tmp_path))
  kept, found = (
    encoders.find(str(path)) for path in (tmp_path, tmp_path / "garden")
  )
  assert kept.config == found.config
  assert found.pretrained and not kept.pretrained
  task = task_of(tmp_path)
  with pytest.raises(UserError, match="has no bert_model.ckpt.index"):
    initialized(task)


@pytest.mark.parametrize(
  ("encoder", "complaint"),
  [
    (
      "no/such/directory",
      "'no/such/directory', but must be demo, tiny, .*Hugg",
    ),
    ("bert-base-uncased", "must be demo"),
    ("gs3://bucket/bert", "cannot be read .*: copy it to a local directory"),
    (
      "https://localhost:1/bert/1",
      "cannot be fetched .* network, and name its",
    ),
    ("hub:https://localhost:1/bert/1", "cannot be fetched"),
    ("hub:no/such/directory", "no/such/directory"),
    ("hf:a/b/c", "must be hf:OWNER/NAME, or hf:OWNER/NAME@REVISION"),
    ("hf:a/../b", "must be hf:OWNER/NAME"),
  ],
)
def test_what_is_no_encoder_is_refused_with_a_cure(encoder, complaint):
  with pytest.raises(UserError, match=complaint) as caught:
    encoders.find(encoder)
  assert "\n" not in str(caught.value)


def test_an_encoder_that_is_none_ends_the_door(tmp_path):
  ended = doors.enter(
    tmp_path,
    "launch.train",
    "--encoder=https://localhost:1/bert/1",
    f"--model_dir={tmp_path / 'run'}",
  )
  assert ended.status == 2
  assert "cannot be fetched" in ended.err
  assert "Traceback" not in ended.err
  assert not os.path.exists(tmp_path / "run")


def test_a_file_that_is_named_as_a_directory_is_refused(tmp_path):
  (tmp_path / "file").write_text("x")
  with pytest.raises(UserError):
    encoders.find(str(tmp_path / "file"))
  with pytest.raises(UserError, match="must be demo"):
    encoders.find(str(tmp_path))


def test_handles_are_addresses():
  assert is_handle("https://tfhub.dev/tensorflow/bert_en_uncased/4")
  assert not is_handle("gs://bucket/bert")

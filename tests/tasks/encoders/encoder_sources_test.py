"""`--encoder` knows each kind of source, takes all of it or refuses it."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from official.legacy.bert import configs as legacy
from official.nlp.tools import tf2_bert_encoder_checkpoint_converter

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.encoders import find as encoders
from tasks.encoders.bert import tf1_checkpoint
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.encoders.bert.weights import restore_encoder
from tasks.encoders.sources import cache
from tasks.encoders.sources.place import is_handle
from tasks.model.classifier import PairClassifier
from tasks.sentence_pair import SentencePairTask
from tests.support import doors
from tests.support.testing import pairs_of

# As google-research/bert spells them; "gelu" is computed by tanh there.
SIZES = {
  "attention_probs_dropout_prob": 0.1,
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "hidden_size": 32,
  "initializer_range": 0.02,
  "intermediate_size": 64,
  "max_position_embeddings": 128,
  "num_attention_heads": 4,
  "num_hidden_layers": 2,
  "type_vocab_size": 2,
}
PAIRS = [("The rain in Spain.", "It rains."), ("Yes.", "No, not at all.")]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))


def write_config(path, **changes):
  """The config and vocabulary of a small encoder; returns the config."""
  os.makedirs(path, exist_ok=True)
  vocabulary = encoders.find("tiny").vocabulary
  shutil.copy(vocabulary, os.path.join(path, "vocab.txt"))
  with open(vocabulary) as file:
    words = len(file.readlines())
  config = {**SIZES, "vocab_size": words, **changes}
  with open(os.path.join(path, "bert_config.json"), "w") as file:
    json.dump(config, file)
  return config


def write_tf1(path, **changes):
  """A directory as google-research/bert's; returns the encoder's values.

  TensorFlow 1's own Saver writes it, under the names of `modeling.py`, with
  what pretraining leaves beside the encoder.
  """
  config = write_config(path)
  hidden, inner = config["hidden_size"], config["intermediate_size"]
  shapes = {
    "bert/embeddings/word_embeddings": (config["vocab_size"], hidden),
    "bert/embeddings/token_type_embeddings": (2, hidden),
    "bert/embeddings/position_embeddings": (128, hidden),
    "bert/pooler/dense/kernel": (hidden, hidden),
    "bert/pooler/dense/bias": (hidden,),
  }
  norms = ["bert/embeddings/LayerNorm"]
  for i in range(2):
    layer = f"bert/encoder/layer_{i}"
    norms += [
      f"{layer}/attention/output/LayerNorm",
      f"{layer}/output/LayerNorm",
    ]
    for part, size in (
      ("attention/self/query", (hidden, hidden)),
      ("attention/self/key", (hidden, hidden)),
      ("attention/self/value", (hidden, hidden)),
      ("attention/output/dense", (hidden, hidden)),
      ("intermediate/dense", (hidden, inner)),
      ("output/dense", (inner, hidden)),
    ):
      shapes[f"{layer}/{part}/kernel"] = size
      shapes[f"{layer}/{part}/bias"] = size[1:]
  for norm in norms:
    shapes[f"{norm}/gamma"] = shapes[f"{norm}/beta"] = (hidden,)
  shapes.update(changes)
  shapes = {name: shape for name, shape in shapes.items() if shape}
  rng = np.random.default_rng(0)
  values = {
    name: rng.normal(size=shape, scale=0.3).astype(np.float32)
    for name, shape in shapes.items()
  }
  rest = {
    "global_step": np.int64(7),
    "cls/predictions/output_bias": np.zeros(config["vocab_size"], np.float32),
    "cls/seq_relationship/output_weights": np.ones([2, hidden], np.float32),
  }
  for name, value in values.items():
    rest[f"{name}/adam_m"] = rest[f"{name}/adam_v"] = value + 5
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    for name, value in {**values, **rest}.items():
      tf.compat.v1.get_variable(name, initializer=value)
    session.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.train.Saver().save(
      session, os.path.join(path, "bert_model.ckpt")
    )
  return values


def imports():
  """What the cache holds beside the random encoders."""
  names = os.listdir(cache.cache_directory())
  return [name for name in names if not name.startswith("tiny-")]


def task_of(encoder):
  config = SentencePairConfig(
    encoder=str(encoder), batching="pad", max_seq_length=32
  )
  return SentencePairTask(config)


def initialized(encoder):
  task = task_of(encoder)
  model = task.build_model()
  task.initialize(model, seed=0)
  return task, model


def dense_and_features(task):
  """The same pairs as Model Garden takes them, and as we do."""
  source = task.pair_source(pairs_of(PAIRS))
  layout = source.layout(np.arange(2), batch_size=2, shares=1)
  features = source.batch(np.arange(2), layout)
  shape = features["segments"][0].shape
  mask = (features["segments"][0] > 0).astype(np.int32)
  return features, {
    "input_word_ids": features["word_ids"].reshape(shape),
    "input_mask": mask,
    "input_type_ids": features["type_ids"].reshape(shape) * mask,
  }


def garden_encoder(config):
  """What Model Garden's tools build of a `bert_config.json`."""
  return tf2_bert_encoder_checkpoint_converter._create_bert_model(
    legacy.BertConfig.from_dict(config)
  )


def assert_same_outputs(ours, task, call):
  features, dense = dense_and_features(task)
  sequence, pooled = ours(features)
  expected = call(dense)
  real = dense["input_mask"] > 0
  np.testing.assert_allclose(
    sequence.numpy().reshape(*real.shape, -1)[real],
    np.asarray(expected[0])[real],
    atol=2e-5,
  )
  np.testing.assert_allclose(pooled[0], expected[1], atol=2e-5)
  assert np.ptp(np.asarray(expected[1])) > 0.1  # Not all alike.


def test_a_tf1_checkpoint_computes_what_model_gardens_converter_makes_of_it(
  tmp_path,
):
  values = write_tf1(tmp_path / "old")
  task, model = initialized(tmp_path / "old")
  sizes = legacy.BertConfig.from_json_file(tmp_path / "old/bert_config.json")
  tf2_bert_encoder_checkpoint_converter.convert_checkpoint(
    sizes, str(tmp_path / "c" / "new"), str(tmp_path / "old/bert_model.ckpt")
  )
  garden = garden_encoder(sizes.to_dict())
  tf.train.Checkpoint(model=garden).restore(
    str(tmp_path / "c" / "new-1")
  ).assert_existing_objects_matched()
  assert_same_outputs(model.encoder, task, garden)
  np.testing.assert_array_equal(
    model.encoder.blocks[1].query.kernel,
    values["bert/encoder/layer_1/attention/self/query/kernel"],
  )
  assert len(model.encoder.trainable_variables) == len(values)


def test_an_import_is_whole_or_not_at_all(tmp_path, monkeypatch):
  write_tf1(tmp_path / "old")

  def half(source, target):
    with open(os.path.join(target, "bert_config.json"), "w"):
      raise OSError("the disk is full")

  with monkeypatch.context() as patch:
    patch.setattr(tf1_checkpoint, "import_tf1", half)
    with pytest.raises(OSError, match="the disk is full"):
      encoders.find(str(tmp_path / "old"))
  assert imports() == []
  found = encoders.find(str(tmp_path / "old"))
  monkeypatch.setattr(tf1_checkpoint, "import_tf1", None)
  assert encoders.find(str(tmp_path / "old")) == found  # Once.


@pytest.mark.parametrize(
  ("changes", "complaint"),
  [
    (
      {"bert/encoder/layer_1/output/dense/bias": None},
      "no weight `bert/encoder/layer_1/output/dense/bias`",
    ),
    (
      {"bert/encoder/layer_2/output/dense/bias": (32,)},
      "1 values that the encoder .* `bert/encoder/layer_2/output/dense/bias`",
    ),
    (
      {"bert/encoder/layer_0/intermediate/dense/kernel": (32, 48)},
      r"`bert/encoder/layer_0/intermediate/dense/kernel` .* \(32, 48\)",
    ),
    (
      {"bert/encoder/layer_0/output/dense/kernel": (32, 64)},
      r"`bert/encoder/layer_0/output/dense/kernel` .* \(32, 64\)",
    ),
  ],
)
def test_a_tf1_checkpoint_of_another_size_is_refused(
  tmp_path, changes, complaint
):
  write_tf1(tmp_path / "old", **changes)
  with pytest.raises(UserError, match=complaint):
    encoders.find(str(tmp_path / "old"))
  assert imports() == []


def test_a_damaged_tf1_checkpoint_is_refused(tmp_path):
  write_tf1(tmp_path / "old")
  (data,) = (tmp_path / "old").glob("bert_model.ckpt.data*")
  data.write_bytes(data.read_bytes()[:1000])
  with pytest.raises(UserError, match="bert_model.ckpt cannot be read"):
    encoders.find(str(tmp_path / "old"))


def test_a_model_garden_directory_is_read_where_it_is(tmp_path):
  """`ram://` stands for `gs://`: only TensorFlow can read either."""
  config = write_config(tmp_path / "garden")
  garden = garden_encoder(config)
  for i, weight in enumerate(garden.weights):
    weight.assign(tf.random.stateless_normal(weight.shape, [0, i]) / 4)
  tf.train.Checkpoint(encoder=garden).write(
    str(tmp_path / "garden" / "bert_model.ckpt")
  )
  remote = "ram://encoders/garden"
  tf.io.gfile.makedirs(remote)
  for name in os.listdir(tmp_path / "garden"):
    tf.io.gfile.copy(str(tmp_path / "garden" / name), f"{remote}/{name}", True)
  task, model = initialized(remote)
  assert encoders.find(remote).directory == remote
  assert_same_outputs(model.encoder, task, garden)
  task.save_assets(str(tmp_path))
  assert BertConfig.read(str(tmp_path / "bert_config.json")).num_hidden_layers


def test_gelu_is_what_the_source_computes():
  """Google's code takes the approximation, Hugging Face's the exact one."""
  google = BertConfig.from_dict({**SIZES, "vocab_size": 9})
  face = BertConfig.from_dict({**SIZES, "vocab_size": 9, "model_type": "bert"})
  assert not google.exact_gelu
  assert face.exact_gelu
  for config in (google, face):
    assert BertConfig.from_dict(config.to_dict()) == config


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


def test_a_classifier_by_hand(tmp_path):
  """The tutorial's low-level way: config, encoder, weights, classifier."""
  write_tf1(tmp_path / "old")
  found = encoders.find(str(tmp_path / "old"))
  with open(found.directory + "/bert_config.json") as file:
    config = BertConfig.from_dict(json.load(file))
  encoder = BertEncoder(config, dropout=0.1)
  restore_encoder(encoder, found.checkpoint)
  model = PairClassifier(encoder, classes=2, dropout=0.1)
  features, _ = dense_and_features(task_of(found.directory))
  assert model(features).shape == [1, 2, 2]
  task, whole = initialized(tmp_path / "old")
  np.testing.assert_allclose(
    encoder(features)[1], whole.encoder(features)[1], atol=1e-6
  )
  names = [variable.name for variable in model.trainable_variables]
  depths = {task.layer_depth(name) for name in names}
  assert depths == {0, 1, 2, 3}
  assert len(names) == len(set(names)) == len(whole.trainable_variables)


def test_a_config_that_lacks_a_size_names_it():
  with pytest.raises(UserError, match="'vocab_size'"):
    BertConfig.from_dict(SIZES)


def test_handles_are_addresses():
  assert is_handle("https://tfhub.dev/tensorflow/bert_en_uncased/4")
  assert not is_handle("gs://bucket/bert")

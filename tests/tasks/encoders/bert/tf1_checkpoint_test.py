"""Checkpoints of google-research/bert are taken whole, or refused."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
from official.legacy.bert import configs as legacy
from official.nlp.tools import tf2_bert_encoder_checkpoint_converter

from engine.errors import UserError
from tasks.encoders import find as encoders
from tasks.encoders.bert import tf1_checkpoint
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.encoders.bert.weights import restore_encoder
from tasks.encoders.sources import cache
from tasks.model.classifier import PairClassifier
from tests.support.testing import REFERENCE_PAIRS
from tests.tasks.encoders.bert.entry import garden_encoder, write_config
from tests.tasks.encoders.entry import batch_of, initialized, task_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))


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


def test_a_tf1_checkpoint_computes_what_model_gardens_converter_makes_of_it(
  tmp_path,
):
  values = write_tf1(tmp_path / "old")
  task = task_of(tmp_path / "old")
  model, batch = initialized(task), batch_of(task)
  sizes = legacy.BertConfig.from_json_file(tmp_path / "old/bert_config.json")
  tf2_bert_encoder_checkpoint_converter.convert_checkpoint(
    sizes, str(tmp_path / "c" / "new"), str(tmp_path / "old/bert_model.ckpt")
  )
  garden = garden_encoder(sizes.to_dict())
  tf.train.Checkpoint(model=garden).restore(
    str(tmp_path / "c" / "new-1")
  ).assert_existing_objects_matched()
  sequence, pooled = model.encoder(batch.tokens)
  expected, real = garden(batch.dense), batch.dense["input_mask"] > 0
  np.testing.assert_allclose(
    sequence.numpy().reshape(*real.shape, -1)[real],
    np.asarray(expected[0])[real],
    atol=2e-5,
  )
  np.testing.assert_allclose(pooled[0], expected[1], atol=2e-5)
  assert np.ptp(np.asarray(expected[1])) > 0.1  # Not all alike.
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


def test_a_classifier_by_hand(tmp_path):
  """The tutorial's low-level way: config, encoder, weights, classifier."""
  write_tf1(tmp_path / "old")
  found = encoders.find(str(tmp_path / "old"))
  with open(found.directory + "/bert_config.json") as file:
    config = BertConfig.from_dict(json.load(file))
  encoder = BertEncoder(config, dropout=0.1)
  restore_encoder(encoder, found.checkpoint)
  model = PairClassifier(encoder, classes=2, dropout=0.1)
  task = task_of(tmp_path / "old")
  batch, whole = batch_of(task), initialized(task)
  assert model(batch.features).shape == [1, len(REFERENCE_PAIRS), 2]
  np.testing.assert_allclose(
    encoder(batch.tokens)[1], whole.encoder(batch.tokens)[1], atol=1e-6
  )
  names = [variable.name for variable in model.trainable_variables]
  depths = {task.layer_depth(name) for name in names}
  assert depths == {0, 1, 2, 3}
  assert len(names) == len(set(names)) == len(whole.trainable_variables)

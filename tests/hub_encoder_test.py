"""TensorFlow Hub's encoders: imported where they are BERTs, else run."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import yaml
from official.legacy.bert import configs as legacy
from official.nlp.tools import export_tfhub_lib

from engine.errors import UserError
from engine.randomness import Stream, step_key
from engine.strategies import mirrored
from launch import configs
from tasks import encoders
from tasks.config import SentencePairConfig
from tasks.hub_encoder import sizes_of
from tasks.sentence_pair import SentencePairTask
from tests import doors
from tests.testing import pairs_of

PAIRS = [("The rain in Spain.", "It rains."), ("Yes.", "No, not at all.")]


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield


def export(path, *, with_mlm=False, lower_case=True, spread=0.3):
  """A SavedModel by Model Garden's own export, with random weights."""
  vocabulary = encoders.find("tiny").vocabulary
  with open(vocabulary) as file:
    words = len(file.readlines())
  config = legacy.BertConfig(
    vocab_size=words,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
    type_vocab_size=2,
    initializer_range=spread,
  )
  _, model = export_tfhub_lib._create_model(
    bert_config=config, with_mlm=with_mlm
  )
  items = model.checkpoint_items if with_mlm else {"model": model}
  if not with_mlm:
    items = {"model": model, "encoder": model}
  checkpoint = tf.train.Checkpoint(**items).save(f"{path}.ckpt")
  export_tfhub_lib.export_model(
    str(path),
    bert_config=config,
    model_checkpoint_path=checkpoint,
    with_mlm=with_mlm,
    vocab_file=vocabulary,
    do_lower_case=lower_case,
  )
  return str(path)


class Stranger(tf.Module):
  """An encoder that is no BERT, as the API of text encoders wants it.

  A bag of words, times a random factor where it trains; one of its variables
  has no part in the pooled output.
  """

  def __init__(self):
    super().__init__()
    table = tf.random.stateless_normal([2000, 16], [0, 0])
    self.table = tf.Variable(table, name="bag/table")
    self.scale = tf.Variable(tf.ones([16]), name="layer_0/scale")
    self.unused = tf.Variable([1.0], name="unused")
    self.variables_ = [self.table, self.scale, self.unused]

  @tf.function(
    input_signature=[
      {
        name: tf.TensorSpec([None, None], tf.int32, name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
      },
      tf.TensorSpec([], tf.bool),
    ]
  )
  def __call__(self, inputs, training=False):
    words = tf.gather(self.table, inputs["input_word_ids"])
    words *= tf.cast(inputs["input_mask"], tf.float32)[:, :, None]
    factor = tf.cond(training, lambda: tf.random.uniform([]), lambda: 1.0)
    sequence = words * self.scale * factor * self.unused
    pooled = tf.tanh(tf.reduce_mean(words * self.scale * factor, 1))
    return {"pooled_output": pooled, "sequence_output": sequence}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
  return export(tmp_path_factory.mktemp("hub") / "bert", with_mlm=True)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
  path = str(tmp_path_factory.mktemp("hub") / "stranger")
  module = Stranger()
  module.trainable_variables_ = module.variables_
  tf.saved_model.save(module, path)
  shutil.copy(encoders.find("tiny").vocabulary, f"{path}/assets/vocab.txt")
  return path


def task_of(encoder, **settings):
  settings = {"batching": "pad", "max_seq_length": 32, **settings}
  return SentencePairTask(SentencePairConfig(encoder=encoder, **settings))


def initialized(task):
  model = task.build_model()
  task.initialize(model, seed=0)
  return model


def features_of(task):
  source = task.pair_source(pairs_of(PAIRS))
  layout = source.layout(np.arange(2), batch_size=2, shares=1)
  return source.batch(np.arange(2), layout), layout


def dense(features):
  mask = (features["segments"][0] > 0).astype(np.int32)
  return {
    "input_word_ids": features["word_ids"].reshape(mask.shape) * mask,
    "input_mask": mask,
    "input_type_ids": features["type_ids"].reshape(mask.shape) * mask,
  }


def test_an_import_puts_out_what_the_saved_model_does(bert):
  task = task_of(bert)
  model = initialized(task)
  features, _ = features_of(task)
  sequence, pooled = model.encoder(features)
  inputs = dense(features)
  expected = tf.saved_model.load(bert)(
    {k: tf.constant(v) for k, v in inputs.items()}, training=False
  )
  real = inputs["input_mask"] > 0
  np.testing.assert_allclose(
    sequence.numpy().reshape(*real.shape, -1)[real],
    expected["sequence_output"].numpy()[real],
    atol=2e-5,
  )
  np.testing.assert_allclose(
    pooled[0], expected["pooled_output"].numpy(), atol=2e-5
  )
  assert np.ptp(pooled) > 0.1  # Not all alike.
  found = encoders.find(bert)
  assert found.config.num_attention_heads == 4
  assert not found.config.exact_gelu
  assert task.pair_source(pairs_of(PAIRS)).layout(
    np.arange(2), batch_size=2, shares=1
  ).flops


def test_casing_is_that_of_the_saved_model(tmp_path):
  path = export(tmp_path / "cased", lower_case=False)
  for name in (path, f"hub:{path}"):
    assert task_of(name)._tokenizer.lowercase is False


def test_what_is_no_bert_is_pointed_to_hub(stranger):
  with pytest.raises(UserError, match=f"--encoder=hub:{stranger} runs it"):
    encoders.find(stranger)


def test_what_only_looks_like_a_bert_is_refused(tmp_path, bert):
  """The same variables, but another computation."""
  model = tf.saved_model.load(bert)

  class Liar(tf.Module):
    def __init__(self):
      super().__init__()
      self.model = model
      self.variables = model.variables
      self.trainable_variables = model.trainable_variables
      self.vocab_file = model.vocab_file

    @tf.function(
      input_signature=[
        {
          name: tf.TensorSpec([None, None], tf.int32, name=name)
          for name in ("input_word_ids", "input_mask", "input_type_ids")
        },
      ]
    )
    def __call__(self, inputs):
      outputs = self.model(inputs, training=False)
      return {"sequence_output": 1.1 * outputs["sequence_output"]}

  path = str(tmp_path / "liar")
  liar = tf_keras.Model if False else Liar()
  tf.saved_model.save(liar, path)
  with pytest.raises(UserError, match="no BERT that can be imported"):
    encoders.find(path)
  assert not os.path.exists(path + ".part")

"""Small SavedModels for the battery: one that is no BERT, and one that is."""

import os
import shutil

import tensorflow as tf
from official.legacy.bert import configs as legacy
from official.nlp.tools import export_tfhub_lib

from tasks.encoders import find as encoders
from tasks.model.contract import INPUTS
from tests.tasks.encoders.entry import Entry, Original, target


def export_bert(path):
  """A cased BERT by Model Garden's own export, with random weights."""
  vocabulary = encoders.find("tiny").tokenizer.source
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
    initializer_range=0.3,
  )
  _, model = export_tfhub_lib._create_model(bert_config=config, with_mlm=True)
  for i, weight in enumerate(model.weights):  # All different: none is taken
    if weight.dtype.is_floating:  # for another.
      drawn = tf.random.stateless_normal(weight.shape, [1, i], 0.0, 0.3)
      weight.assign_add(drawn)
  checkpoint = tf.train.Checkpoint(**model.checkpoint_items)
  export_tfhub_lib.export_model(
    str(path),
    bert_config=config,
    model_checkpoint_path=checkpoint.save(f"{path}.ckpt"),
    with_mlm=True,
    vocab_file=vocabulary,
    do_lower_case=False,
  )
  return str(path)


def save(path, call, variables, **parts):
  """A SavedModel as TensorFlow Hub wants it, around a function."""
  inputs = {
    name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUTS
  }
  module = tf.train.Checkpoint(**parts)
  module.__call__ = tf.function(call)
  for training in (True, False):
    module.__call__.get_concrete_function(inputs, training=training)
  module.variables = module.trainable_variables = variables
  tf.saved_model.save(module, path)
  return path


def save_stranger(path):
  """An encoder that is no BERT: a bag of words.

  Where it trains it draws from a hidden generator, and one of its variables
  has no part in what it computes.
  """
  table = tf.random.stateless_normal([2000, 16], [0, 0])
  table = tf.Variable(table, name="word_embeddings")
  scale = tf.random.stateless_uniform([16], [0, 1], 0.5, 1.5)
  scale = tf.Variable(scale, name="layer_0/scale")
  unused = tf.Variable([1.0], name="unused")

  def call(inputs, training=False):
    words = tf.gather(table, inputs["input_word_ids"])
    words *= tf.cast(inputs["input_mask"], tf.float32)[:, :, None] * scale
    if training:
      words *= tf.random.uniform([])
    pooled = tf.tanh(tf.reduce_sum(words, 1))
    return {"pooled_output": pooled, "sequence_output": words}

  save(path, call, [table, scale, unused])
  shutil.copy(
    encoders.find("tiny").tokenizer.source, f"{path}/assets/vocab.txt"
  )
  return path


def original(encoder, dense):
  """What a SavedModel computes of itself."""
  model = tf.saved_model.load(encoder.removeprefix("hub:"))
  variables = list(model.trainable_variables)
  with tf.GradientTape() as tape:
    inputs = {name: tf.constant(array) for name, array in dense.items()}
    pooled = model(inputs, training=False)["pooled_output"]
    value = target(pooled)
  gradients = tape.gradient(value, variables)
  return Original(
    [variable.numpy() for variable in variables],
    [x if x is None else tf.convert_to_tensor(x).numpy() for x in gradients],
    pooled.numpy(),
  )


def _running_itself(save):
  return lambda path: "hub:" + save(os.path.join(path, "saved_model"))


STRANGER = Entry("stranger", _running_itself(save_stranger), original, None)
HUB_BERT = Entry("hub bert", _running_itself(export_bert), original, None)

"""A small BERT for the battery, made and computed by Model Garden."""

import json
import os
import shutil

import numpy as np
import tensorflow as tf
from official.legacy.bert import configs as legacy
from official.nlp.tools import tf2_bert_encoder_checkpoint_converter

from tasks.encoders import find as encoders
from tests.tasks.encoders.entry import Entry, Original, target

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


def write_config(path):
  """The config and vocabulary of a small encoder; returns the config."""
  os.makedirs(path, exist_ok=True)
  vocabulary = encoders.find("tiny").tokenizer.source
  shutil.copy(vocabulary, os.path.join(path, "vocab.txt"))
  with open(vocabulary) as file:
    words = len(file.readlines())
  config = {**SIZES, "vocab_size": words}
  with open(os.path.join(path, "bert_config.json"), "w") as file:
    json.dump(config, file)
  return config


def garden_encoder(config):
  """What Model Garden's tools build of a `bert_config.json`."""
  return tf2_bert_encoder_checkpoint_converter._create_bert_model(
    legacy.BertConfig.from_dict(config)
  )


def write_garden(path):
  """A directory of Model Garden's layout, with random weights."""
  garden = garden_encoder(write_config(path))
  for i, weight in enumerate(garden.weights):
    weight.assign(tf.random.stateless_normal(weight.shape, [0, i]) / 4)
  checkpoint = tf.train.Checkpoint(encoder=garden)
  checkpoint.write(os.path.join(path, "bert_model.ckpt"))
  return str(path)


def read_garden(path):
  """Model Garden's encoder with the weights of a directory of its layout."""
  with open(os.path.join(path, "bert_config.json")) as file:
    garden = garden_encoder(json.load(file))
  tf.train.Checkpoint(encoder=garden).read(
    os.path.join(path, "bert_model.ckpt")
  ).assert_existing_objects_matched()
  return garden


def original(path, dense):
  """What Model Garden computes of a directory of its layout."""
  garden = read_garden(path)
  with tf.GradientTape() as tape:
    sequence, pooled = garden(dense)
    value = target(pooled)
  gradients = tape.gradient(value, garden.trainable_variables)
  return Original(
    [variable.numpy() for variable in garden.trainable_variables],
    [tf.convert_to_tensor(gradient).numpy() for gradient in gradients],
    np.asarray(pooled),
    np.asarray(sequence),
  )


BERT = Entry(
  "bert", write_garden, original, ("classifier.weight", "classifier.bias")
)

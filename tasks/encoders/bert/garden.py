"""Model Garden's encoder with our weights: plain ops on dense rows.

Our encoder is made for training: static shapes, streams of tokens, clusters
that XLA compiles. What leaves the project (`launch.export`) is Model Garden's
encoder instead, which takes any number of rows of any length.
"""

import numpy as np
import tensorflow as tf
import tf_keras

from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.encoders.bert.parts import values_of
from tasks.model.activations import ACTIVATIONS
from tasks.model.contract import INPUTS


def build_garden(config: BertConfig) -> tf_keras.Model:
  """Builds Model Garden's BERT; int32 `INPUTS` [rows, tokens] in a dict."""
  # Imported here: only imports and exports need Model Garden's networks.
  from official.nlp.modeling import networks

  encoder = networks.BertEncoderV2(
    vocab_size=config.vocab_size,
    hidden_size=config.hidden_size,
    num_layers=config.num_hidden_layers,
    num_attention_heads=config.num_attention_heads,
    max_sequence_length=config.max_position_embeddings,
    type_vocab_size=config.type_vocab_size,
    inner_dim=config.intermediate_size,
    inner_activation=ACTIVATIONS[config.activation],
    output_dropout=0.0,
    attention_dropout=0.0,
  )
  for layer in encoder.submodules:
    if isinstance(layer, tf_keras.layers.LayerNormalization):
      layer.epsilon = config.layer_norm_eps
  encoder({name: tf.zeros([1, 2], tf.int32) for name in INPUTS})
  return encoder


def copy_of(encoder: BertEncoder) -> tf_keras.Model:
  """Returns Model Garden's encoder with the weights of ours, float32."""
  garden = build_garden(encoder.config)
  ours = [value.variable(encoder) for value in values_of(encoder.config)]
  # Model Garden lists its variables in the order of the parts.
  assert len(ours) == len(garden.trainable_variables)
  for mine, its in zip(ours, garden.trainable_variables, strict=True):
    # Model Garden splits the heads off.
    assert mine.shape.num_elements() == its.shape.num_elements(), its.name
    its.assign(np.reshape(mine.numpy(), its.shape))
  return garden

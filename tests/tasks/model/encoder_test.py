"""The encoder computes what BERT's other implementations compute."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling import tf_utils
from official.nlp.modeling import networks

from engine.randomness import Stream, step_key
from engine.task import EXAMPLES, LABELS, WEIGHTS, columns
from tasks.config import SentencePairConfig
from tasks.encoders import find as encoders
from tasks.encoders.bert import weights
from tasks.encoders.bert.encoder import BertEncoder
from tasks.model.fused import bias_gelu
from tests.support.testing import (
  REFERENCE,
  REFERENCE_PAIRS,
  needs_demo_encoder,
  pairs_of,
  tiny_task,
)


def spread(model):
  """Gives a model weights that make outputs and gradients differ."""
  for i, weight in enumerate(model.weights):
    weight.assign(tf.random.stateless_normal(weight.shape, [0, i]) / 5)


def features_of(task, pairs):
  source = task.pair_source(pairs)
  indices = np.arange(len(pairs))
  layout = source.layout(indices, batch_size=len(pairs), shares=1)
  batch = source.batch(indices, layout)
  return columns(batch, (LABELS, WEIGHTS, EXAMPLES))


@needs_demo_encoder
@pytest.mark.parametrize("batching", ["pad", "bucket", "pack"])
def test_demo_encoder_equals_the_original_implementation(batching):
  """Reference: transformers 5.23.0 with PyTorch 2.13.0, float32."""
  from tasks.sentence_pair import SentencePairTask

  task = SentencePairTask(SentencePairConfig(encoder="demo", batching=batching))
  model = task.build_model()
  task.initialize(model, seed=0)
  reference = np.load(REFERENCE)
  features, _, _, examples = features_of(task, pairs_of(REFERENCE_PAIRS))
  sequence, pooled = model.encoder(features)
  for share, slot in np.argwhere(examples >= 0):
    i = examples[share, slot]
    ids = reference[f"ids_{i}"]
    start = features["firsts"][share, slot]
    place = share, slice(start, start + len(ids))
    np.testing.assert_array_equal(features["word_ids"][place], ids)
    np.testing.assert_array_equal(
      features["type_ids"][place], reference[f"types_{i}"]
    )
    np.testing.assert_allclose(
      sequence.numpy()[place], reference[f"sequence_{i}"], atol=1e-5
    )
    np.testing.assert_allclose(
      pooled.numpy()[share, slot], reference[f"pooled_{i}"][:], atol=2e-6
    )


@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_equals_model_gardens_encoder_on_its_own_checkpoint(tmp_path, act):
  config = encoders.find("tiny").config
  config = dataclasses.replace(config, hidden_act=act)
  gardens_own = tf_utils.get_activation("gelu")  # The approximation, by tanh.
  garden = networks.BertEncoder(
    vocab_size=config.vocab_size,
    hidden_size=config.hidden_size,
    num_layers=config.num_hidden_layers,
    num_attention_heads=config.num_attention_heads,
    intermediate_size=config.intermediate_size,
    activation=tf.nn.gelu if act == "gelu" else gardens_own,
    max_sequence_length=config.max_position_embeddings,
    type_vocab_size=2,
    initializer=tf_keras.initializers.TruncatedNormal(stddev=0.3),
    return_all_encoder_outputs=False,
  )
  path = tf.train.Checkpoint(encoder=garden).write(str(tmp_path / "ckpt"))
  task = tiny_task(batching="pad", max_seq_length=64)
  features, _, _, examples = features_of(task, pairs_of(REFERENCE_PAIRS))
  encoder = BertEncoder(config, dropout=0.0)
  encoder.build(None)
  weights.restore_encoder(encoder, path)
  sequence, pooled = encoder(features)
  _, rows, width = features["rows"].shape
  in_rows = lambda x: x.reshape(rows, width)  # `pad` streams whole rows.
  real = features["segments"][0] > 0
  expected = garden(
    {
      "input_word_ids": in_rows(features["word_ids"]),
      "input_mask": real.astype(np.int32),
      "input_type_ids": in_rows(features["type_ids"]),
    }
  )
  np.testing.assert_allclose(
    sequence.numpy().reshape(rows, width, -1)[real],
    expected[0].numpy()[real],
    atol=1e-5,
  )
  np.testing.assert_allclose(pooled.numpy()[0], expected[1].numpy(), atol=1e-5)
  assert np.ptp(expected[1].numpy()) > 0.1  # Not all alike.


@pytest.mark.parametrize("exact", [True, False])
def test_both_gelus_have_their_own_gradients(exact):
  x = tf.cast(tf.linspace(-6.0, 6.0, 97), tf.float32)[:, None]
  bias = tf.constant([0.25])
  upstream = tf.cos(x)
  results = []
  for function in (
    lambda: bias_gelu(x, bias, exact=exact),
    lambda: tf.nn.gelu(x + bias, approximate=not exact),
  ):
    with tf.GradientTape() as tape:
      tape.watch([x, bias])
      y = function()
      target = tf.reduce_sum(y * upstream)
    results.append([y, *tape.gradient(target, [x, bias])])
  for ours, theirs in zip(*results, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_the_pooled_output_does_not_need_is_left_out():
  """The same values, gradients and dropout, with most of a block less."""
  task = tiny_task(dropout=0.1)
  encoder = BertEncoder(encoders.find("tiny").config, dropout=0.1)
  encoder.build(None)
  spread(encoder)
  features, *_ = features_of(task, pairs_of(REFERENCE_PAIRS))
  key = step_key(0, tf.constant(3, tf.int64))

  def pooled_and_gradients(pooled_only):
    with tf.GradientTape() as tape:
      sequence, pooled = encoder(
        features, random=Stream(key), pooled_only=pooled_only
      )
      target = tf.reduce_sum(pooled * tf.cos(tf.range(32.0)))
    assert (sequence is None) == pooled_only
    return pooled, tape.gradient(target, encoder.trainable_weights)

  (whole, gradients), (less, others) = map(pooled_and_gradients, (False, True))
  np.testing.assert_allclose(less, whole, atol=1e-6)
  for one, other in zip(gradients, others, strict=True):
    one, other = tf.convert_to_tensor(one), tf.convert_to_tensor(other)
    np.testing.assert_allclose(other, one, atol=2e-6)


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_layouts_and_replicas_do_not_change_training(rate):
  """Loss and gradients of one batch, dropout on and off: 1e-5.

  The longest pair fills its row; with dropout the draws are those of the
  tokens, wherever they lie.
  """
  results = {}
  for batching in ("pad", "bucket", "pack"):
    for shares in (1, 2, 4):
      task = tiny_task(batching=batching, dropout=rate, max_seq_length=64)
      model = task.build_model()
      spread(model)
      source = task.pair_source(pairs_of(REFERENCE_PAIRS))
      layout = source.layout(np.arange(8), batch_size=8, shares=shares)
      batch = source.batch(np.arange(8), layout)
      features, labels, weights_, _ = columns(
        batch, (LABELS, WEIGHTS, EXAMPLES)
      )
      random = Stream(step_key(0, tf.constant(7, tf.int64)))
      with tf.GradientTape() as tape:
        logits = task.forward(model, features, random)
        loss = tf.reduce_sum(weights_ * task.loss(labels, logits)) / 8
      gradients = tape.gradient(loss, model.trainable_variables)
      results[batching, shares] = [loss, *map(tf.convert_to_tensor, gradients)]
  reference = results.pop(("pad", 1))
  assert tf.linalg.global_norm(reference[1:]) > 0.1
  for way, found in results.items():
    for one, other in zip(reference, found, strict=True):
      np.testing.assert_allclose(other, one, atol=1e-5, err_msg=str(way))

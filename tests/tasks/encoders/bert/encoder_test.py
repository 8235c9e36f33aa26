"""The encoder computes what BERT's other implementations compute."""

import numpy as np
import tensorflow as tf
import tf_keras
from official.nlp.modeling import networks

from engine.randomness import Stream, step_key
from tasks.encoders import find as encoders
from tasks.encoders.bert.weights import restore_encoder
from tests.support.testing import REFERENCE, needs_demo_encoder
from tests.tasks.encoders.entry import batch_of, initialized, task_of


def spread(model):
  """Gives a model weights that make outputs and gradients differ."""
  for i, weight in enumerate(model.weights):
    weight.assign(tf.random.stateless_normal(weight.shape, [0, i]) / 5)


@needs_demo_encoder
def test_demo_encoder_equals_the_original_implementation():
  """Reference: transformers 5.23.0 with PyTorch 2.13.0, float32."""
  task = task_of("demo", batching="pack", max_seq_length=128)
  model, batch = initialized(task), batch_of(task)
  features, reference = batch.tokens, np.load(REFERENCE)
  sequence, pooled = model.encoder(features)
  for share, slot in np.argwhere(batch.examples >= 0):
    i = batch.examples[share, slot]
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
      pooled.numpy()[share, slot], reference[f"pooled_{i}"], atol=2e-6
    )


def test_the_exact_gelu_equals_model_gardens_encoder_with_it(tmp_path):
  """With the approximation, which is its own, it is in the battery."""
  config = encoders.find("tiny").config
  assert config.activation == "gelu"
  garden = networks.BertEncoder(
    vocab_size=config.vocab_size,
    hidden_size=config.hidden_size,
    num_layers=config.num_hidden_layers,
    num_attention_heads=config.num_attention_heads,
    intermediate_size=config.intermediate_size,
    activation=tf.nn.gelu,
    max_sequence_length=config.max_position_embeddings,
    type_vocab_size=2,
    initializer=tf_keras.initializers.TruncatedNormal(stddev=0.3),
    return_all_encoder_outputs=False,
  )
  path = tf.train.Checkpoint(encoder=garden).write(str(tmp_path / "ckpt"))
  batch = batch_of(task_of("tiny"))
  encoder = encoders.find("tiny").build(dropout=0.0)
  restore_encoder(encoder, path)
  sequence, pooled = encoder(batch.tokens)
  expected = garden(batch.dense)
  real = batch.dense["input_mask"] > 0
  np.testing.assert_allclose(
    sequence.numpy().reshape(*real.shape, -1)[real],
    expected[0].numpy()[real],
    atol=1e-5,
  )
  np.testing.assert_allclose(pooled[0], expected[1], atol=1e-5)
  assert np.ptp(expected[1]) > 0.1  # Not all alike.


def test_what_the_pooled_output_does_not_need_is_left_out():
  """The same values, gradients and dropout, with most of a block less."""
  encoder = encoders.find("tiny").build(dropout=0.1)
  encoder.build(None)
  spread(encoder)
  features = batch_of(task_of("tiny", batching="pack")).tokens
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

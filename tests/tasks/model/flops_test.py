"""The operations that are counted are those that the model does."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_callbacks

from engine.randomness import Stream, step_key
from engine.task import EXAMPLES, LABELS, WEIGHTS, columns
from tasks.model.flops import training_flops
from tests.support.testing import REFERENCE_PAIRS, pairs_of, tiny_task


def test_one_block_by_hand():
  # Of 5 tokens: keys and values 5 * 2 * 4 multiplications; of the first, query
  # and attention's output 2 * 4, feed-forward 2 * 6; its scores and their
  # mixing 2 * 5 * 2; pooler 4, head 2 * 7.
  forward = 2 * (40 + 8 + 12 + 20 + 4 + 14)
  found = training_flops(
    hidden=2, inner=3, layers=1, lengths=np.array([5]), classes=7
  )
  assert found.executed.tolist() == [3 * forward]
  # The model's: query, output 2 * 4, feed-forward 2 * 6 and attention 20 of
  # the four others too.
  assert found.model.tolist() == [3 * (forward + 2 * 4 * (8 + 12 + 20))]


def test_blocks_follow_the_rule_of_6_parameters_a_token():
  """With 12 * layers * hidden * length for attention (PaLM, appendix B)."""

  def count(layers, length):
    sizes = {"hidden": 384, "inner": 1536, "layers": layers}
    found = training_flops(**sizes, lengths=np.array([length]), classes=2)
    return np.ravel(found)

  parameters = 4 * 384**2 + 2 * 384 * 1536
  for length in (1, 53, 512):
    added = count(6, length) - count(1, length)
    rule = 5 * length * (6 * parameters + 12 * 384 * length)
    assert added == pytest.approx(rule, rel=1e-12)
    whole, executed = count(1, length)
    pooler_and_head = 6 * (384**2 + 384 * 2)
    assert whole == pytest.approx(rule / 5 + pooler_and_head)
    assert executed < whole or length == 1


@pytest.fixture
def products():
  """Operations of each matrix product that TensorFlow executes in a test."""
  found = []

  def note(op_type, inputs, attrs, outputs, op_name=None, graph=None):
    if op_type in ("MatMul", "BatchMatMulV2"):
      attrs = dict(zip(attrs[::2], attrs[1::2], strict=True))
      transposed = attrs.get("transpose_a", attrs.get("adj_x"))
      inner = inputs[0].shape[-2 if transposed else -1]
      found.append(2 * outputs[0].shape.num_elements() * inner)

  tf.config.run_functions_eagerly(True)  # The products in all functions too.
  op_callbacks.add_op_callback(note)
  yield found
  op_callbacks.remove_op_callback(note)
  tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def unpadded():
  """A model, a batch in which each place holds a real token, its layout."""
  task = tiny_task(batching="pad", max_seq_length=16, dropout=0.0)
  long = [pair for pair in REFERENCE_PAIRS if len(" ".join(pair)) > 99]
  source = task.pair_source(pairs_of(long))
  indices = np.arange(len(long))
  layout = source.layout(indices, batch_size=len(long), shares=1)
  assert layout.units == layout.capacity == 16 * len(long) > 32
  batch = source.batch(indices, layout)
  features, labels, *_ = columns(batch, (LABELS, WEIGHTS, EXAMPLES))
  features = {k: tf.constant(v) for k, v in features.items()}
  return task, task.build_model(), features, tf.constant(labels), layout


def test_the_forward_pass_is_what_tensorflow_computes(unpadded, products):
  task, model, features, _, layout = unpadded
  task.forward(model, features, None)
  assert sum(products) == layout.executed_flops / 3


def test_the_backward_pass_costs_twice_the_forward_pass(unpadded, products):
  task, model, features, labels, layout = unpadded
  stream = Stream(step_key(0, tf.constant(3, tf.int64)))
  with tf.GradientTape() as tape:
    losses = task.loss(labels, task.forward(model, features, stream))
  tape.gradient(losses, model.trainable_variables)
  # Sums over tokens, for the biases, are written as products too.
  executed = layout.executed_flops
  assert executed <= sum(products) < 1.02 * executed


def test_padding_does_not_count():
  counted = []
  for batching in ("pad", "bucket", "pack"):
    source = tiny_task(batching=batching).pair_source(pairs_of(REFERENCE_PAIRS))
    indices = np.arange(len(REFERENCE_PAIRS))
    one = source.layout(indices, batch_size=8, shares=1)
    two = source.layout(indices, batch_size=8, shares=2)
    counted += [one.flops, two.flops]
  assert counted[0] > 0
  assert set(counted) == {counted[0]}

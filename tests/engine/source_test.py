"""A dataset of one's own becomes a source, once."""

import numpy as np
import pytest
import tensorflow as tf

from engine.errors import UserError
from engine.task import ArraySource

X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.arange(6, dtype=np.int32)


def dataset_of(*parts):
  return tf.data.Dataset.from_tensor_slices(parts)


def test_a_dataset_is_read_in_its_order():
  source = ArraySource.of_dataset(dataset_of({"a": X}, Y).shuffle(6, seed=1))
  indices = np.arange(6)
  layout = source.layout(indices, batch_size=6, shares=1)
  batch = source.batch(indices, layout)
  assert sorted(batch["labels"]) == [*range(6)]
  assert (batch["a"] == X[batch["labels"]]).all()
  again = source.batch(indices, layout)
  assert (again["labels"] == batch["labels"]).all()


def test_it_is_the_source_of_its_arrays():
  weights = np.linspace(0, 1, 6).astype(np.float32)
  batched = dataset_of({"a": X}, Y, weights).batch(4).unbatch()
  source = ArraySource.of_dataset(batched)
  assert source.digest() == ArraySource({"a": X}, Y, weights).digest()
  assert (source.weights(np.array([5, 1])) == weights[[5, 1]]).all()
  alone = ArraySource.of_dataset(dataset_of(X, Y))
  assert alone.digest() == ArraySource({"x": X}, Y).digest()


def ragged():
  spec = (tf.TensorSpec([None]), tf.TensorSpec([], tf.int32))
  examples = [(np.zeros(n), n) for n in (2, 3)]
  return tf.data.Dataset.from_generator(lambda: examples, output_signature=spec)


@pytest.mark.parametrize(
  ("dataset", "complaint"),
  [
    (dataset_of(X, Y).repeat(), "no end: give it one by take"),
    (dataset_of(X, Y).take(0), "has 0 elements"),
    (tf.data.Dataset.from_tensor_slices(X), "must have some of .features, lab"),
    (dataset_of(X, Y).batch(4), "has batches .*: unbatch.. it"),
    (dataset_of(X, Y).batch(3), "has batches .*: unbatch.. it"),
    (ragged(), "elements of different shapes"),
    ((X, Y), "is no tf.data.Dataset"),
  ],
)
def test_what_is_no_finite_dataset_of_examples_is_refused(dataset, complaint):
  with pytest.raises(UserError, match=complaint):
    ArraySource.of_dataset(dataset)

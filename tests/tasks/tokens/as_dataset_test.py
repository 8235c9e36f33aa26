"""Keras gets the pairs of a split as the tutorial has them."""

import numpy as np
import pytest
import tensorflow as tf

from engine.errors import UserError
from tasks.tokens.as_dataset import as_dataset
from tests.support.testing import tiny_task

LENGTH = 24


def test_batches_have_the_specs_and_the_pairs_of_the_split():
  source = tiny_task(max_seq_length=LENGTH).source("dev")
  dataset = as_dataset(source, 100, LENGTH)
  features, labels = dataset.element_spec
  assert {x.shape.as_list()[1] for x in features.values()} == {LENGTH}
  assert labels == tf.TensorSpec([None], tf.int32)
  batches = list(dataset.as_numpy_iterator())
  assert len(dataset) == len(batches) == -(-len(source) // 100)
  rows = np.concatenate([x["input_word_ids"] for x, _ in batches])
  masks = np.concatenate([x["input_mask"] for x, _ in batches])
  assert rows[masks == 1].tolist() == source.encoded.ids.tolist()
  told = np.concatenate([y for _, y in batches])
  assert told.tolist() == source.labels(np.arange(len(source))).tolist()


def test_each_epoch_has_all_pairs_in_an_order_of_its_own():
  source = tiny_task(max_seq_length=LENGTH).source("dev")
  dataset = as_dataset(source, 50, LENGTH, seed=3)
  epochs = [
    np.concatenate([x["input_word_ids"] for x, _ in dataset]) for _ in range(2)
  ]
  assert (epochs[0] != epochs[1]).any()
  given = source.encoded.dense(LENGTH)["input_word_ids"]
  for rows in epochs:
    assert sorted(map(tuple, rows)) == sorted(map(tuple, given))
  again = as_dataset(source, 50, LENGTH, seed=3)
  first = np.concatenate([x["input_word_ids"] for x, _ in again])
  assert (first == epochs[0]).all()


@pytest.mark.parametrize(
  ("batch_size", "length", "complaint"),
  [
    (0, LENGTH, "`batch_size` is 0, but must be at least 1"),
    (8, 16, f"`length` is 16, but .* pairs of {LENGTH} tokens: give"),
  ],
)
def test_batches_that_cannot_be_are_refused_at_once(
  batch_size, length, complaint
):
  source = tiny_task(max_seq_length=LENGTH).source("dev")
  with pytest.raises(UserError, match=complaint):
    as_dataset(source, batch_size, length)

"""Encoded pairs for Keras, and for pipelines of one's own: a `tf.data.Dataset`.

The arrays are those of TensorFlow's tutorial, so whatever it feeds takes them.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from engine.errors import UserError
from tasks.tokens.pair_source import PairSource

Batch = tuple[dict[str, np.ndarray], np.ndarray]


def as_dataset(
  source: PairSource, batch_size: int, length: int, seed: int | None = None
) -> tf.data.Dataset:
  """Returns the batches of a split; only those in use are in memory.

  Args:
    source: of `SentencePairTask.source`, whatever it reads.
    batch_size: pairs in a batch; the last one may have fewer.
    length: tokens of a row, the task's `max_seq_length`.
    seed: of an order of each epoch; None: the order of the split.

  Returns:
    (features, labels): int32 `input_word_ids`, `input_mask`, `input_type_ids`,
    each [batch, length]; and int32 classes or float32 scores [batch].

  Raises:
    UserError: where a batch would have no pair, or a row no room for one.
  """
  if batch_size < 1:
    raise UserError(f"`batch_size` is {batch_size}, but must be at least 1.")
  if length < source.encoded.longest:
    raise UserError(
      f"`length` is {length}, but the split may have pairs of "
      f"{source.encoded.longest} tokens: give the task's max_seq_length."
    )
  epoch = -1

  def batches() -> Iterator[Batch]:
    nonlocal epoch
    epoch += 1
    order = np.arange(len(source))
    if seed is not None:  # As the engine's own, see `engine.loop.order`.
      words = np.random.Philox(key=[seed, epoch]).random_raw(len(source))
      order = np.argsort(words, kind="stable")
    for first in range(0, len(order), batch_size):
      indices = order[first : first + batch_size]
      yield source.encoded.pick(indices).dense(length), source.labels(indices)

  labels = tf.as_dtype(source.labels(np.arange(0)).dtype)
  names = ("input_word_ids", "input_mask", "input_type_ids")
  spec = {name: tf.TensorSpec([None, length], tf.int32) for name in names}
  dataset = tf.data.Dataset.from_generator(
    batches, output_signature=(spec, tf.TensorSpec([None], labels))
  )
  count = -(-len(source) // batch_size)
  return dataset.apply(tf.data.experimental.assert_cardinality(count))

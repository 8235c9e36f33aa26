"""From an order and a source to distributed batches.

A global batch is laid out once, for all replicas; each replica takes its own
block of rows. What is in row r is thus the same for any number of replicas.
"""

import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from engine.order import Order
from engine.task import Layout, Source


class Inputs:
  """The batches of one split in one order."""

  def __init__(
    self,
    *,
    source: Source,
    order: Order,
    strategy: tf.distribute.Strategy,
    batch_size: int,
  ):
    self.source = source
    self.order = order
    self._strategy = strategy
    self._batch_size = batch_size
    self._replicas = strategy.num_replicas_in_sync
    self.layout = functools.lru_cache(maxsize=64)(self._layout)
    self._batch = functools.lru_cache(maxsize=2)(self._make_batch)

  def _layout(self, step: int) -> Layout:
    """Returns the plan of global batch `step`, without building it."""
    return self.source.layout(
      self.order.indices(step),
      batch_size=self._batch_size,
      replicas=self._replicas,
    )

  def _make_batch(self, step: int) -> dict[str, np.ndarray]:
    return self.source.batch(self.order.indices(step), self.layout(step))

  def replica_signature(
    self, shape: tuple[int, ...]
  ) -> dict[str, tf.TensorSpec]:
    """Name -> spec of the part of a batch that one replica sees."""
    return {
      name: tf.TensorSpec(
        [spec.shape[0] // self._replicas, *spec.shape[1:]], spec.dtype
      )
      for name, spec in self.source.signature(shape).items()
    }

  def iterator(self, first_step: int) -> Iterator:
    """Returns a distributed iterator whose first batch is `first_step`.

    It never ends: behind the end of the order batches are empty. An end would
    make TensorFlow guard each step against partial batches.
    """
    dataset = self._strategy.distribute_datasets_from_function(
      functools.partial(self._dataset, first_step)
    )
    return iter(dataset)

  def _dataset(
    self, first_step: int, context: tf.distribute.InputContext
  ) -> tf.data.Dataset:
    """The parts of this host's replicas, one after the other, step by step."""
    here = self._replicas // context.num_input_pipelines
    first_replica = context.input_pipeline_id * here
    specs = self.source.signature(self.layout(first_step).shape)
    names = list(specs)

    def part(place):
      step, replica = divmod(int(place), here)
      batch = self._batch(step)
      rows = len(batch[names[0]]) // self._replicas
      start = (first_replica + replica) * rows
      return [batch[name][start : start + rows] for name in names]

    def load(place):
      dtypes = [specs[name].dtype for name in names]
      arrays = tf.numpy_function(part, [place], dtypes, stateful=False)
      for name, array in zip(names, arrays, strict=True):
        array.set_shape([None] * specs[name].shape.rank)
      return dict(zip(names, arrays, strict=True))

    places = tf.data.Dataset.counter(first_step * here)
    return places.map(load).prefetch(2 * here)

"""From an order and a source to distributed batches.

A global batch is laid out once, for all replicas; each replica takes its own
block of rows. What is in row r is thus the same for any number of replicas.

There is no iterator: batches are fetched by their step, some steps at a time,
and the device loop walks through them. So there is no position to save, and
nothing runs on when a loop ends.
"""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from engine.loop.order import Order
from engine.task import TOTAL, Layout, Source


class Inputs:
  """The batches of one split in one order."""

  def __init__(
    self,
    *,
    source: Source,
    order: Order,
    strategy: tf.distribute.Strategy,
    batch_size: int,
    parts: int = 1,
  ):
    """Initializes the inputs.

    Args:
      source: the examples.
      order: which of them are in which batch.
      strategy: whose replicas share the rows.
      batch_size: examples in a full batch.
      parts: into which a replica cuts its rows.
    """
    self.source = source
    self.order = order
    self._strategy = strategy
    self._batch_size = batch_size
    self._replicas = strategy.num_replicas_in_sync
    self._parts = parts
    self.layout = functools.lru_cache(maxsize=64)(self._layout)

  def _layout(self, step: int) -> Layout:
    """Returns the plan of global batch `step`, without building it."""
    return self.source.layout(
      self.order.indices(step),
      batch_size=self._batch_size,
      shares=self._replicas * self._parts,
    )

  def fetch(self, step: int, steps: int, *, capacity: int) -> dict[str, Any]:
    """Fetches the batches of steps in a row that share a shape.

    A worker builds what its own replicas need.

    Args:
      step: the first.
      steps: how many.
      capacity: length of the arrays; behind `steps` they are zero. One
        capacity for all calls keeps the shapes static.

    Returns:
      Name -> distributed values, on each replica [capacity, rows, ...]; and
      `TOTAL`, the sum of the weights of each global batch, float32 [capacity].
    """
    local = len(self._strategy.extended.worker_devices)
    rows = self.layout(step).shape[0] // self._replicas
    stacks: dict[str, np.ndarray] = {}
    totals = np.zeros(capacity, np.float32)

    def build(first):
      block = slice(first * rows, (first + local) * rows)
      for i, s in enumerate(range(step, step + steps)):
        indices = self.order.indices(s)
        totals[i] = self.source.weights(indices).sum(dtype=np.float64)
        batch = self.source.batch(indices, self.layout(s), block)
        for name, array in batch.items():
          if name not in stacks:
            stacks[name] = np.zeros((capacity, *array.shape), array.dtype)
          stacks[name][i] = array

    def part(context):
      replica = context.replica_id_in_sync_group
      place = replica % local  # Replicas of a worker follow each other.
      if not stacks:
        build(replica - place)
      own = slice(place * rows, (place + 1) * rows)
      return {
        TOTAL: tf.constant(totals),
        **{
          name: tf.constant(stack[:, own])
          for name, stack in stacks.items()
          if stack.size
        },
      }

    return self._strategy.experimental_distribute_values_from_function(part)

  def pick(
    self, batches: dict[str, tf.Tensor], place: tf.Tensor, shape: tuple
  ) -> dict[str, tf.Tensor]:
    """Takes one replica's batch `place` out of what `fetch` gave it.

    An array without elements is not sent: its shape says what it has to say.
    """
    batch = {name: array[place] for name, array in batches.items()}
    for name, spec in self.source.signature(shape).items():
      part = [spec.shape[0] // self._replicas, *spec.shape[1:]]
      if name not in batch:
        batch[name] = tf.zeros(part, spec.dtype)
      batch[name].shape.assert_is_compatible_with(part)
    return batch

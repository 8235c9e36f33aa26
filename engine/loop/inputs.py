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
from absl import logging

from engine.loop.order import Order
from engine.task import WEIGHTS, Layout, Source

_TOLD_BATCHES, _TOLD_IDS = 5, 10  # Of those that weigh nothing.


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

  def _batch(self, step: int) -> dict[str, np.ndarray]:
    return self.source.batch(self.order.indices(step), self.layout(step))

  def fetch(self, step: int, steps: int, *, capacity: int) -> dict[str, Any]:
    """Fetches the batches of steps in a row that share a shape.

    Args:
      step: the first.
      steps: how many.
      capacity: length of the arrays; behind `steps` they are zero. One
        capacity for all calls keeps the shapes static.

    Returns:
      Name -> distributed values, on each replica [capacity, rows, ...].
    """
    batches = [self._batch(s) for s in range(step, step + steps)]
    for s, batch in enumerate(batches, step):
      if not batch[WEIGHTS].any():
        self._tell_empty(s)
    stacks = {}
    for name, array in batches[0].items():
      stacks[name] = np.zeros((capacity, *array.shape), array.dtype)
      for i, batch in enumerate(batches):
        stacks[name][i] = batch[name]

    def part(context):
      replica = context.replica_id_in_sync_group
      return {
        name: tf.constant(np.split(stack, self._replicas, axis=1)[replica])
        for name, stack in stacks.items()
      }

    return self._strategy.experimental_distribute_values_from_function(part)

  def _tell_empty(self, step: int) -> None:
    indices = self.order.indices(step)
    ids = ", ".join(map(str, self.source.ids(indices[:_TOLD_IDS])))
    logging.log_first_n(
      logging.WARNING,
      "All %d examples of batch %d weigh 0 (ids %s%s): it changes nothing. "
      "Mend their weights, leave them out, or take larger batches.",
      _TOLD_BATCHES,
      *(len(indices), step, ids, ", ..." * (len(indices) > _TOLD_IDS)),
    )

  def pick(
    self, batches: dict[str, tf.Tensor], place: tf.Tensor, shape: tuple
  ) -> dict[str, tf.Tensor]:
    """Takes one replica's batch `place` out of what `fetch` gave it."""
    batch = {name: array[place] for name, array in batches.items()}
    for name, spec in self.source.signature(shape).items():
      rows = spec.shape[0] // self._replicas
      batch[name].shape.assert_is_compatible_with([rows, *spec.shape[1:]])
    return batch

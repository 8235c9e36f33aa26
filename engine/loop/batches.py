"""What the host plans and builds of each global batch."""

from typing import NamedTuple

import numpy as np

from engine.loop.order import Order
from engine.task import Layout, Source


class Prepared(NamedTuple):
  """What the host knows of a global batch, and has built of it.

  Attributes:
    indices: int64 [n], its examples.
    layout: of all of them.
    total: sum of their weights.
    arrays: the rows of this worker's replicas.
  """

  indices: np.ndarray
  layout: Layout
  total: float
  arrays: dict[str, np.ndarray]


class Batches:
  """The global batches of a split in one order, as one worker builds them.

  The plan is of all examples, the arrays are of the worker's own replicas: so
  what a step costs the host grows with its share. It needs no device.
  """

  def __init__(
    self,
    *,
    source: Source,
    order: Order,
    batch_size: int,
    replicas: int,
    own: range,
    parts: int = 1,
  ):
    """Initializes the batches.

    Args:
      source: the examples.
      order: which of them are in which batch.
      batch_size: examples in a full batch.
      replicas: that share the rows, over all workers.
      own: of them, those that this worker feeds.
      parts: into which a replica cuts its rows.
    """
    self._source = source
    self._order = order
    self._batch_size = batch_size
    self._replicas = replicas
    self._own = own
    self._parts = parts

  def layout(self, step: int) -> Layout:
    """Returns the plan of global batch `step`, without building it."""
    return self._plan(self._order.indices(step))

  def __call__(self, step: int) -> Prepared:
    """Builds global batch `step`: a pure function."""
    indices = self._order.indices(step)
    layout = self._plan(indices)
    rows = layout.shape[0] // self._replicas
    own = slice(self._own.start * rows, self._own.stop * rows)
    return Prepared(
      indices,
      layout,
      total=float(self._source.weights(indices).sum(dtype=np.float64)),
      arrays=self._source.batch(indices, layout, own),
    )

  def _plan(self, indices: np.ndarray) -> Layout:
    return self._source.layout(
      indices,
      batch_size=self._batch_size,
      shares=self._replicas * self._parts,
    )

"""The batches of a split whose order says nothing: equal sizes together."""

import numpy as np

from engine.loop.order import Order
from engine.task import Source


class BySize(Order):
  """Each example once, from small ones to large ones.

  What is predicted does not depend on the order, and a batch of examples of
  equal sizes has little padding.
  """

  def __init__(self, source: Source, batch_size: int):
    """Initializes the order.

    Args:
      source: the examples; their sizes are asked for at once.
      batch_size: examples in a full batch.
    """
    super().__init__(
      num_examples=len(source),
      batch_size=batch_size,
      num_positions=len(source),
      seed=None,
    )
    sizes = source.sizes(np.arange(len(source)))
    self._sorted = np.argsort(sizes, kind="stable")

  def _at(self, place: np.ndarray, epoch: int) -> np.ndarray:
    return self._sorted[place]

"""From an order and a source to distributed batches.

A global batch is laid out once, for all replicas; each replica takes its own
block of rows. What is in row r is thus the same for any number of replicas.

There is no iterator: a batch is fetched by its step, and the next ones are
prepared beside the device. A batch is a function of its step, so there is no
position to save.
"""

from typing import Any

import tensorflow as tf
from absl import logging

from engine.cluster.strategies import own_replicas
from engine.loop.ahead import Ahead
from engine.loop.batches import Batches, Prepared
from engine.loop.order import Order
from engine.task import TOTAL, Source

_AHEAD = 8  # Batches, at most, that are prepared before they are fetched.
_TOLD_BATCHES, _TOLD_IDS = 5, 10  # Of those that weigh nothing.


class Inputs:
  """The batches of one split in one order, given to the replicas.

  Attributes:
    source: the examples.
    order: which of them are in which batch.
    layout: step -> the plan of its batch, without building it.
    choice: which shapes the source chose and why, for a line; or "".
  """

  def __init__(
    self,
    *,
    source: Source,
    order: Order,
    strategy: tf.distribute.Strategy,
    batch_size: int,
    parts: int = 1,
    program: float = 0.0,
    canonical: bool = False,
  ):
    """Initializes the inputs.

    Args:
      source: the examples.
      order: which of them are in which batch.
      strategy: whose replicas share the rows.
      batch_size: examples in a full batch.
      parts: into which a replica cuts its rows.
      program: what one costs (`Source.choose_shapes`); 0: shapes do not depend
        on it.
      canonical: choose shapes as for one device, whatever the replicas: sums
        over them are to have the same bits.
    """
    self.source = source
    self.order = order
    self._strategy = strategy
    self._replicas = strategy.num_replicas_in_sync
    self._own = own_replicas(strategy)
    shares = self._replicas * parts
    self.choice = (
      ""
      if not program
      else source.choose_shapes(
        batch_size=batch_size,
        shares=shares,
        parts=order.num_batches * (shares if canonical else parts),
        program=program,
      )
    )
    batches = Batches(
      source=source,
      order=order,
      batch_size=batch_size,
      replicas=self._replicas,
      own=self._own,
      parts=parts,
    )
    self.layout = batches.layout
    self._ahead = Ahead(batches)

  def prepared(self, step: int) -> Prepared:
    """Returns global batch `step`, as soon as it is built."""
    return self._ahead[step]

  def fetch(self, step: int) -> tuple[Prepared, dict[str, Any]]:
    """Fetches the batch of a step.

    Those that come next are prepared from now on, while the device works.

    Returns:
      What the host knows of it; and name -> distributed values, on each replica
      [rows, ...], with `TOTAL`, the sum of its weights, float32 scalar.
    """
    last = min(step + 1 + _AHEAD, self.order.num_batches)
    self._ahead.keep(range(step, max(last, step + 1)))
    batch = self.prepared(step)
    rows = batch.layout.shape[0] // self._replicas

    gpus = _gpus_of(self._strategy)

    def part(context):
      place = self._own.index(context.replica_id_in_sync_group)
      first = place * rows
      # Else all of them would come by the first GPU.
      with tf.device(gpus[place % len(gpus)] if gpus else None):
        return {
          TOTAL: tf.constant(batch.total, tf.float32),
          **{
            name: tf.constant(array[first : first + rows])
            for name, array in batch.arrays.items()
            if array.size
          },
        }

    values = self._strategy.experimental_distribute_values_from_function(part)
    return batch, values

  def tell_weightless(self, step: int) -> None:
    """Says of a batch whose examples all weigh 0 that it is one."""
    indices, _, total, _ = self.prepared(step)
    if total:
      return
    ids = ", ".join(map(str, self.source.ids(indices[:_TOLD_IDS])))
    logging.log_first_n(
      logging.WARNING,
      "All %d examples of batch %d weigh 0 (ids %s%s): it changes nothing. "
      "Mend their weights, leave them out, or take larger batches.",
      _TOLD_BATCHES,
      *(len(indices), step, ids, ", ..." * (len(indices) > _TOLD_IDS)),
    )

  def pick(
    self, batch: dict[str, tf.Tensor], shape: tuple
  ) -> dict[str, tf.Tensor]:
    """Makes one replica's batch whole, of what `fetch` gave it.

    An array without elements is not sent: its shape says what it has to say.
    """
    batch = dict(batch)
    for name, spec in self.source.signature(shape).items():
      part = [spec.shape[0] // self._replicas, *spec.shape[1:]]
      if name not in batch:
        batch[name] = tf.zeros(part, spec.dtype)
      batch[name].shape.assert_is_compatible_with(part)
    return batch


def _gpus_of(strategy: tf.distribute.Strategy) -> list[str]:
  """Names of the GPUs of this worker's replicas, in their order."""
  try:
    devices = strategy.extended.worker_devices
  except RuntimeError:  # TensorFlow's default strategy names none.
    return []
  return [device for device in devices if "GPU" in device]

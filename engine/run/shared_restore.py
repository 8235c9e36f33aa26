"""One worker reads a checkpoint, and gives all others what it has read."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import tensorflow as tf

from engine.cluster.peers import gather, together
from engine.cluster.strategies import is_chief, workers_of
from engine.durability import manifest
from engine.durability.checkpoints import Checkpoints
from engine.errors import UserError
from engine.telemetry.job import Job

_PACK = 2**26  # Bytes that are sent at once.


def begin(
  job: Job,
  manager: Checkpoints,
  initialize: Callable[[], None],
  allowed: Collection[str],
) -> str | None:
  """Restores the newest whole checkpoint on all workers, or initializes.

  The chief alone looks for it, verifies and reads it: what is read does not
  grow with the workers. The others get its values, and stop where these are not
  what the chief has.

  Args:
    job: of the run.
    manager: of its checkpoints.
    initialize: gives first weights; called where there is no checkpoint.
    allowed: names of settings in which a checkpoint's may differ.

  Returns:
    The path of the checkpoint, or None.

  Raises:
    UserError: on all workers alike, where the chief can restore none or what
      another got differs.
  """
  if len(workers_of(job.strategy)) < 2:
    return manager.begin(initialize, config=job.config, allowed=allowed)
  chief, found = is_chief(job.strategy), None
  with together(job.strategy):
    if chief:
      found = manager.begin(lambda: None, config=job.config, allowed=allowed)
  (step, *_), *_ = gather(
    job.strategy,
    np.array([-1 if found is None else manifest.step_of(found)], np.int64),
  )
  if step < 0:
    initialize()
    return None
  with together(job.strategy):
    broadcast(job.strategy, variables_of(manager.checkpoint))
  if not chief:
    manager.follow(int(step))
  return manager.restore_or_initialize()


def variables_of(checkpoint: tf.train.Checkpoint) -> list[tf.Variable]:
  """Returns all that a checkpoint holds, in an order that workers share."""
  found = tf.train.TrackableView(checkpoint).descendants()
  each = {id(x): x for x in found if isinstance(x, tf.Variable)}
  return list(each.values())


def broadcast(
  strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable]
) -> None:
  """Gives variables on all workers the bits that they have on the chief.

  A sum to which all others add zeros, of whole numbers: -0.0 and NaN pass too.

  Raises:
    UserError: where this worker has got other bits than the chief has.
  """
  chief = is_chief(strategy)
  local = strategy.experimental_local_results

  def value(variable):
    return np.asarray(local(variable)[0].numpy())

  def digest():
    found = hashlib.sha256()
    for variable in variables:
      found.update(value(variable).tobytes())
    # Collectives know no bytes.
    return np.frombuffer(found.digest(), np.uint8).astype(np.int32)

  sizes = np.array([sum(v.shape.num_elements() for v in variables)], np.int64)
  if (gather(strategy, sizes) != sizes).any():
    raise UserError(
      "The workers have other variables than the chief: give all workers the "
      "same files and settings."
    )
  expected = gather(strategy, digest() if chief else np.zeros(32, np.int32))[0]
  for pack in _packs(variables):
    own = [value(v) for v in pack]
    flat = np.concatenate([np.frombuffer(x.tobytes(), np.uint8) for x in own])
    words = np.zeros(-(-len(flat) // 8), np.int64)
    if chief:
      words.view(np.uint8)[: len(flat)] = flat
    got = _summed(strategy, words).view(np.uint8)
    place = 0
    for variable, x in zip(pack, own, strict=True):
      part = got[place : place + x.nbytes]
      place += x.nbytes
      if not chief:
        variable.assign(np.frombuffer(part.tobytes(), x.dtype).reshape(x.shape))
  if not (digest() == expected).all():
    raise UserError(
      "This worker got other weights than the chief has read and verified by "
      "its manifest: the network or the memory between them is at fault; "
      "start all workers again, elsewhere if it comes back."
    )


def _packs(variables: Sequence[tf.Variable]) -> Iterator[list[tf.Variable]]:
  """Cuts variables into parts of about `_PACK` bytes."""
  pack: list[tf.Variable] = []
  size = 0
  for variable in variables:
    pack.append(variable)
    size += variable.shape.num_elements() * variable.dtype.size
    if size >= _PACK:
      yield pack
      pack, size = [], 0
  if pack:
    yield pack


def _summed(strategy: tf.distribute.Strategy, own: np.ndarray) -> np.ndarray:
  """Adds what the first replica of each worker has, on all of them."""
  values = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(
      own if context.replica_id_in_sync_group == 0 else np.zeros_like(own)
    )
  )
  return strategy.reduce("SUM", values, axis=None).numpy()

"""What the workers of a strategy tell each other, and how a loss is told."""

import contextlib
import functools
import re
import socket
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from engine.cluster.address import split
from engine.cluster.strategies import workers_of
from engine.errors import PeerLost, UserError
from engine.task import Source


def gather(strategy: tf.distribute.Strategy, own: np.ndarray) -> np.ndarray:
  """Returns what each worker holds, [workers, ...]; all wait for the last.

  Args:
    strategy: of the workers.
    own: array [...], of one shape and type on all of them.
  """
  replicas = _replicas_here(strategy)
  return gather_rows(strategy, np.stack([own] * replicas))[::replicas]


def gather_rows(
  strategy: tf.distribute.Strategy, own: np.ndarray
) -> np.ndarray:
  """Returns the rows of all workers, [workers * rows, ...], in their order.

  Args:
    strategy: of the workers.
    own: array [rows, ...], of one shape and type on all of them; rows are a
      multiple of a worker's replicas, of which each sends its part.
  """
  if len(workers_of(strategy)) < 2:
    return own
  parts = np.split(own, _replicas_here(strategy))
  rows = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(
      parts[context.replica_id_in_sync_group % len(parts)]
    )
  )
  return _gathering(strategy)(rows).numpy()


@functools.cache
def _gathering(strategy: tf.distribute.Strategy) -> Callable:
  """Returns what gathers rows; by itself TensorFlow traces at each call."""
  return tf.function(lambda x: strategy.gather(x, axis=0), autograph=False)


def _replicas_here(strategy: tf.distribute.Strategy) -> int:
  return strategy.num_replicas_in_sync // max(1, len(workers_of(strategy)))


def agree(strategy: tf.distribute.Strategy, facts: Mapping[str, int]) -> None:
  """Compares numbers on all workers.

  Raises:
    UserError: on all workers alike, with the name of what differs.
  """
  if not facts:
    return  # TensorFlow's collectives crash where there is nothing to gather.
  workers = workers_of(strategy)
  values = gather(strategy, np.array(list(facts.values()), np.int64))
  for i, row in enumerate(values):
    different = [
      f"{name}: {values[0][k]} -> {row[k]}"
      for k, name in enumerate(facts)
      if values[0][k] != row[k]
    ]
    if different:
      part(strategy)  # Who ended now might not have told all of them.
      raise UserError(
        f"worker {i} ({workers[i]}) differs from worker 0 ({workers[0]}) in "
        f"what it read ({'; '.join(different)}): give all workers the same "
        "files and one shared --model_dir."
      )


def agree_on(strategy: tf.distribute.Strategy, **facts: int | Source) -> None:
  """Stops all workers where they hold different facts or data.

  Args:
    strategy: of the workers.
    **facts: name -> number, or examples; messages name them.

  Raises:
    UserError: on all workers alike, with the name of what differs.
  """
  numbers = {}
  for name, fact in facts.items():
    name = name.replace("_", " ")
    if isinstance(fact, Source):
      numbers[f"number of {name} examples"] = len(fact)
      numbers[f"digest of {name} examples"] = fact.digest()
    else:
      numbers[name] = int(fact)
  agree(strategy, numbers)


def part(strategy: tf.distribute.Strategy) -> None:
  """Lets no worker go before all are done: its end would look like a loss.

  Who hears the last word late may find the others gone; that is no loss now.
  """
  with contextlib.suppress(tf.errors.OpError):
    agree_on(strategy, end=0)


@contextlib.contextmanager
def together(strategy: tf.distribute.Strategy) -> Iterator[None]:
  """Lets all workers go on only where none has found a mistake in the block.

  Raises:
    UserError: the own mistake, or one that says that another worker has one.
  """
  mistake = None
  try:
    yield
  except UserError as error:
    mistake = error
  try:
    agree(strategy, {"mistakes": int(mistake is not None)})
  except UserError:
    if not mistake:
      raise
  if mistake:
    raise mistake


@contextlib.contextmanager
def lost_peers_named(strategy: tf.distribute.Strategy) -> Iterator[None]:
  """Turns TensorFlow's complaint about a lost worker into `PeerLost`."""
  workers = workers_of(strategy)
  try:
    yield
  except (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
  ) as error:
    if len(workers) < 2:
      raise
    own = strategy.cluster_resolver.task_id
    # Behind the words and the stack of the graph comes what happened.
    text = str(error).rsplit("aborted by: ", 1)[-1]
    gone = sorted(
      {int(i) for i in re.findall(r"/task:(\d+)", text)} - {own}
    ) or [i for i in range(len(workers)) if i != own and _silent(workers[i])]
    # A peer that stands still answers nobody, though its port takes calls.
    of_a_peer = tf.errors.UnavailableError, tf.errors.DeadlineExceededError
    if not gone and not isinstance(error, of_a_peer):
      raise  # All peers are there: the fault is this worker's own.
    names = ", ".join(f"worker {i} ({workers[i]})" for i in gone)
    reason = re.split(r"\n|\\n", text.strip())[0][:150]
    raise PeerLost(
      f"{names or 'another worker'} ended or cannot be reached ({reason}): "
      "the same command on all workers goes on from the last checkpoint."
    ) from error


def _silent(address: str) -> bool:
  """Whether nobody listens at an address."""
  try:
    socket.create_connection(split(address), 1.0).close()
    return False
  except OSError:
    return True

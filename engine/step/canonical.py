"""Sums whose bits do not depend on who computed their terms.

A global batch is cut into canonical shares: a fixed number, of one static
shape. Each is computed by one function, which is compiled apart from what
surrounds it, and their sums are added in one binary tree, halves of halves:

    ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))

A replica owns a subtree, so partial sums of whole subtrees are all that
replicas exchange, and any number of replicas that divides the shares into
equal subtrees adds the same terms in the same order. Floating-point addition
is commutative, but not associative: the order within a pair is free.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from engine.errors import UserError
from engine.fusion import plain
from engine.step.sums import Values, merged


class Shares(tf.Module):
  """The canonical shares of a global batch, as a replica adds them up.

  Attributes:
    own: how many of them each replica computes.
    losses: float32 [shares], what each added to the loss of the newest step.
  """

  def __init__(self, *, own: int, replicas: int):
    """Creates the variable; call it in the scope of the strategy."""
    super().__init__(name="shares")
    self.own = own
    self.losses = tf.Variable(
      tf.zeros([own * replicas]),
      trainable=False,
      aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )

  def sum(
    self,
    replica: tf.distribute.ReplicaContext,
    terms: Callable[[int], tuple[tf.Tensor, list[Values]]],
    shapes: Sequence[tf.TensorShape],
    turn: tf.Tensor | bool = True,
  ) -> tuple[tf.Tensor, list[Values]]:
    """Adds loss and gradients of all shares; equal on all replicas.

    Args:
      replica: this one's context.
      terms: place among the own shares -> its loss and gradients.
      shapes: of the variables.
      turn: bool scalar, whether it is the turn of the step; if not, the
        attributes stay.
    """
    found = []

    def gradients_of(i):
      loss, gradients = terms(i)
      found.append(loss)
      return gradients

    gradients = tree_sum(gradients_of, self.own)
    losses = _gathered(replica, tf.stack(found))
    self.losses.assign(tf.where(turn, losses, self.losses))
    (loss,) = tree_sum(lambda i: [losses[i]], losses.shape[0])
    return loss, sum_over_replicas(replica, gradients, shapes)


def own_shares(shares: int, replicas: int, parts: int = 1) -> int:
  """Returns how many canonical shares each replica computes.

  Args:
    shares: canonical ones, a power of two.
    replicas: that share them.
    parts: accumulation steps of a replica, whole subtrees each.

  Raises:
    UserError: where a replica, or a part, would own no whole subtree.
  """
  if shares % (replicas * parts) == 0:
    return shares // replicas
  powers = [str(2**i) for i in range(shares.bit_length())]
  what = "replicas" if parts == 1 else "replicas times accumulation steps"
  raise UserError(
    f"`canonical_shares` is {shares}, which {replicas * parts} {what} cannot "
    f"share by halves: use {', '.join(powers[:-1])} or {powers[-1]} of them, "
    "or more shares in a new run."
  )


def in_parts(batch: dict[str, tf.Tensor], count: int) -> dict[str, tf.Tensor]:
  """Cuts arrays [rows, ...] into equal parts [count, rows / count, ...]."""
  return {
    name: tf.reshape(x, [count, x.shape[0] // count, *x.shape[1:]])
    for name, x in batch.items()
  }


def alone(function: Callable) -> tf.function:
  """Compiles what a share is computed by, whatever calls it.

  Without the attribute TensorFlow copies the function into its caller and
  optimises both together, which may fuse an addition of the caller into a
  product of the share.
  """
  return tf.function(
    plain(function), experimental_attributes={"_noinline": True}
  )


def share(function: Callable) -> Callable:
  """As `alone`, of a batch and more tensors; compiled once for all shares.

  TensorFlow's optimizer makes a copy of a function wherever it is called with
  a constant, as an array without elements is: it is made inside.
  """

  def whole(batch, empty, *more):
    zeros = {name: tf.zeros(size, kind) for name, size, kind in empty}
    return function({**batch, **zeros}, *more)

  compiled = alone(whole)

  def call(batch: dict[str, tf.Tensor], *more: tf.Tensor) -> Any:
    is_empty = {name: not x.shape.num_elements() for name, x in batch.items()}
    return compiled(
      {name: x for name, x in batch.items() if not is_empty[name]},
      tuple(
        (name, tuple(x.shape), x.dtype.name)
        for name, x in batch.items()
        if is_empty[name]
      ),
      *more,
    )

  return call


def each(function: Callable[[int], Any], count: int) -> list[Any]:
  """Returns what `function` makes of each share, one after the other."""
  found: list[Any] = []
  before: list[tf.Tensor] = []
  for i in range(count):
    with tf.control_dependencies(before):
      found.append(function(i))
    before = tf.nest.flatten(found[-1], expand_composites=True)
  return found


def tree_sum(terms: Callable[[int], list[Values]], count: int) -> list[Values]:
  """Adds the terms of shares in the tree, one share after the other.

  Besides the share that is computed, as many sums exist as the tree is high.

  Args:
    terms: share -> dense tensors, or rows of a table.
    count: of shares, a power of two.

  Returns:
    The sums; of rows, those of all shares, one after the other.
  """
  before: list[tf.Tensor] = []

  def of(first: int, count: int) -> list[Values]:
    if count > 1:
      left = of(first, count // 2)
      return add(left, of(first + count // 2, count // 2))
    with tf.control_dependencies(before):
      found = terms(first)
    before[:] = [tf.nest.flatten(found, expand_composites=True)[0]]
    return found

  return of(0, count)


@alone
def _added(left: list[tf.Tensor], right: list[tf.Tensor]) -> list[tf.Tensor]:
  # A caller's additions, one above the other, are a tree only as they are
  # written: where TensorFlow knows their shapes it makes one list of them.
  return [a + b for a, b in zip(left, right, strict=True)]


def add(left: Sequence[Values], right: Sequence[Values]) -> list[Values]:
  """Adds two subtrees: dense terms as numbers, rows as a longer list."""
  found = list(left)
  dense = []
  for i, (a, b) in enumerate(zip(left, right, strict=True)):
    if isinstance(a, tf.IndexedSlices):
      found[i] = tf.IndexedSlices(
        tf.concat([a.values, b.values], 0),
        tf.concat([a.indices, b.indices], 0),
        a.dense_shape,
      )
    else:
      dense.append(i)
  sums = _added([left[i] for i in dense], [right[i] for i in dense])
  for i, value in zip(dense, sums, strict=True):
    found[i] = value
  return found


def sum_over_replicas(
  replica: tf.distribute.ReplicaContext,
  subtrees: Sequence[Values],
  shapes: Sequence[tf.TensorShape],
) -> list[Values]:
  """Adds the subtrees of all replicas, on each of them.

  Args:
    replica: this one's context.
    subtrees: what `tree_sum` returned here.
    shapes: of the variables.

  Returns:
    Dense sums, and rows as `merged` has them.
  """
  count = replica.num_replicas_in_sync
  found: list[Values] = list(subtrees)
  rows = [i for i, x in enumerate(subtrees) if isinstance(x, tf.IndexedSlices)]
  for i in rows:
    values = _gathered(replica, subtrees[i].values)
    indices = _gathered(replica, subtrees[i].indices)
    found[i] = merged(values, indices, shapes[i])
  dense = [i for i in range(len(found)) if i not in rows]
  if count == 1:
    return found
  if count == 2:  # Of two terms any order is that of the tree.
    sums = replica.all_reduce("SUM", [subtrees[i] for i in dense])
  else:
    flat = tf.concat([tf.reshape(subtrees[i], [-1]) for i in dense], 0)
    every = _gathered(replica, flat[tf.newaxis])
    (whole,) = tree_sum(lambda i: [every[i]], count)
    parts = tf.split(whole, [shapes[i].num_elements() for i in dense])
    sums = [
      tf.reshape(part, shapes[i]) for part, i in zip(parts, dense, strict=True)
    ]
  for i, value in zip(dense, sums, strict=True):
    found[i] = value
  return found


def _gathered(
  replica: tf.distribute.ReplicaContext, own: tf.Tensor
) -> tf.Tensor:
  """Puts what replicas have [own, ...] behind each other, in their order."""
  count = replica.num_replicas_in_sync
  if count == 1:
    return own
  every = replica.all_gather(own, axis=0)
  every.set_shape([own.shape[0] * count, *own.shape[1:]])  # It forgets them.
  return every

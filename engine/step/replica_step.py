"""One training step, as one replica sees it."""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from engine.fusion import plain
from engine.randomness import Stream, step_key
from engine.step.canonical import Shares, in_parts, share
from engine.step.guard import Guard
from engine.step.norms import clip_by_global_norm, squares_of
from engine.step.precision import LossScale
from engine.step.sums import packed, sum_gradients, unpacked
from engine.task import EXAMPLES, LABELS, TOTAL, WEIGHTS, Task, columns


class ReplicaStep:
  """What a replica does with its rows of a batch.

  for part in rows:                        # one, or as many as accumulate
    loss += sum(weights * task.loss(...)) / sum(weights of all replicas)
  update(all_reduce(gradient(loss)))       # guard, clip, loss scale, optimizer

  All variables of a replica are updated in one call: what is asked of each
  variable, for all replicas, would be thousands of ops of an encoder. Where
  the global step is not the one that a batch was made for, no variable changes
  a bit.
  """

  def __init__(
    self,
    *,
    task: Task,
    model: tf_keras.Model,
    optimizer: tf_keras.optimizers.Optimizer,
    seed: int,
    clip_norm: float,
    guard: Guard,
    loss_scale: LossScale | None = None,
    accumulate_steps: int = 1,
    xla: bool = False,
    xla_update: bool = False,
    keeps_rows: bool = False,
    shares: Shares | None = None,
    pack_bytes: int = 0,
  ):
    """Initializes the step.

    Args:
      task: what is learned.
      model: of the task.
      optimizer: with all of its variables; counts the steps.
      seed: of what is random in a step.
      clip_norm: largest norm of the gradient (0: no limit).
      guard: judges each step, for the optimizer too.
      loss_scale: of float16.
      accumulate_steps: parts of a replica's rows, one after the other.
      xla: whether XLA compiles loss and gradient.
      xla_update: whether it compiles all else that a replica does alone, too.
      keeps_rows: whether the gradient of a table is that of its read rows.
      shares: add up a batch, instead of parts, where sums must have the same
        bits on any number of replicas.
      pack_bytes: of the gradients in one all-reduce; 0: all of them.
    """
    # Replicas hold equal variables: only then may one of them save for all.
    for variable in model.variables:
      on_read = tf.VariableSynchronization.ON_READ
      assert variable.synchronization != on_read, variable.name
    self._task = task
    self.model = model
    self.optimizer = optimizer
    self._seed = seed
    self._clip_norm = clip_norm
    self.guard = guard
    self.loss_scale = loss_scale
    self.shares = shares
    self._pack_bytes = pack_bytes
    self._parts = shares.own if shares else accumulate_steps
    # XLA compiles what one replica computes alone; sums stay with the strategy.
    compiled = lambda f: tf.function(plain(f), jit_compile=True)
    self._packs = xla_update and not shares
    self._gradient = (
      compiled(self._part) if xla and not self._packs else self._part
    )
    self._terms = compiled(self._terms_of) if self._packs else self._terms_of
    self._update = compiled(self._updated) if xla_update else self._updated
    if shares:
      self._gradient = share(self._gradient)
    # The rows that a table was read at cost less than the table: between
    # machines, and to clip. Where parts or replicas of one machine add up,
    # gradients are dense.
    self._keeps_rows = not xla and (
      shares is not None or (keeps_rows and accumulate_steps == 1)
    )

  def __call__(
    self,
    batch: dict[str, tf.Tensor],
    turn: tf.Tensor | bool = True,
    signals: tf.Tensor | None = None,
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Takes the step, in a replica context.

    Args:
      batch: this replica's rows, and `TOTAL`.
      turn: bool scalar, whether the global step is that of the batch. A branch
        would let the host of a GPU wait for it before the step could begin.
      signals: float32 [workers, 2], what this worker tells all others. It rides
        on the sum of the gradients.

    Returns:
      The loss and the gradient norm of the global batch, float32 scalars; and
      the signals of all workers.
    """
    replica = tf.distribute.get_replica_context()
    batch, total = columns(batch, (TOTAL,))
    rows = batch[WEIGHTS].shape[0]
    empty = total <= 0.0
    total = tf.where(empty, 1.0, total)
    first_row = tf.cast(replica.replica_id_in_sync_group * rows, tf.int64)
    # Those of one worker are the same on all of its replicas.
    told: list[tf.Tensor] = []
    workers = 0 if signals is None else signals.shape[0]
    if workers:
      told = [signals / (replica.num_replicas_in_sync // workers)]
    variables = self.model.trainable_variables
    shapes = [variable.shape for variable in variables]
    if self.shares:
      part_of = self._cut(batch, first_row)
      loss, gradients = self.shares.sum(
        replica,
        lambda i: self._gradient(*part_of(i), total),
        shapes,
        turn,
      )
      if told:  # These sums have an order of their own.
        told = replica.all_reduce("SUM", told)
      terms = [loss, *gradients, *told]
    else:
      terms = self._terms(batch, first_row, total, told)
      terms = sum_gradients(
        replica,
        terms,
        [tf.TensorShape([]), *shapes, *(x.shape for x in told)],
        1 if self._packs else self._pack_bytes,  # One by one: none is small.
      )

    def update(strategy, terms, empty):
      return strategy.extended.update(
        variables[0],
        lambda _, *args: self._update(*args, turn, workers),
        args=(terms, empty),
        group=False,
      )

    # All replicas say the same.
    numbers, *_ = replica.merge_call(update, args=(terms, empty))
    return numbers[0], numbers[1], tf.reshape(numbers[2:], [-1, 2])

  def _terms_of(
    self,
    batch: dict[str, tf.Tensor],
    first_row: tf.Tensor,
    total: tf.Tensor,
    told: list[tf.Tensor],
  ) -> list[tf.Tensor | tf.IndexedSlices]:
    """Returns what a replica adds to loss, gradients and signals; or packs."""
    if self._parts == 1:
      loss, gradients = self._gradient(batch, first_row, total)
    else:
      loss, gradients = self._accumulated(batch, first_row, total)
    terms = [loss, *gradients, *told]
    return packed(terms, self._pack_bytes) if self._packs else terms

  def _updated(
    self,
    terms: list[tf.Tensor | tf.IndexedSlices],
    empty: tf.Tensor,
    turn: tf.Tensor | bool,
    workers: int,
  ) -> tf.Tensor:
    """Updates all variables of one replica, in an update of the strategy.

    Args:
      terms: sums over all replicas, of loss, gradients and signals; or packs.
      empty: bool scalar, whether all weights of the global batch are 0.
      turn: as `__call__` has it.
      workers: that have signals.

    Returns:
      Loss, gradient norm and signals, float32 [2 + 2 * workers].
    """
    variables = self.model.trainable_variables
    if self._packs:
      shapes = [tf.TensorShape([]), *(variable.shape for variable in variables)]
      if workers:
        shapes.append(tf.TensorShape([workers, 2]))
      terms = unpacked(terms, shapes, self._pack_bytes)
    loss, gradients = terms[0], terms[1 : 1 + len(variables)]
    told = terms[1 + len(variables) :]
    scale = self.loss_scale and tf.convert_to_tensor(self.loss_scale.scale)
    squares = squares_of(gradients)
    finite = self.guard.update(
      loss,
      squares,
      may_retry=False if scale is None else scale > 1.0,
      empty=empty,
      turn=turn,
    )
    gradients, norm = clip_by_global_norm(
      gradients,
      self._clip_norm,
      squares=squares,
      taken=finite & turn,
      scale=scale,
    )
    if self.loss_scale:
      self.loss_scale.update(finite, turn)
    self.optimizer.apply_gradients(
      zip(map(tf.convert_to_tensor, gradients), variables, strict=True),
      skip_gradients_aggregation=True,
    )
    return tf.concat(
      [tf.stack([loss, norm]), *(tf.reshape(x, [-1]) for x in told)], 0
    )

  def _part(
    self, batch: dict[str, tf.Tensor], first_row: tf.Tensor, total: tf.Tensor
  ) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """What some rows of a replica add to loss and (scaled) gradients.

    Args:
      batch: the rows.
      first_row: int64 scalar, the place of the first in the global batch.
      total: sum of the weights of the global batch.
    """
    features, labels, weights, _ = columns(batch, (LABELS, WEIGHTS, EXAMPLES))
    key = step_key(self._seed, self.optimizer.iterations)
    random = Stream(key, first_row=first_row)
    with tf.GradientTape() as tape:
      outputs = self._task.forward(self.model, features, random)
      losses = self._task.loss(labels, outputs)
      assert losses.dtype == tf.float32, losses.dtype
      assert losses.shape == weights.shape, (losses.shape, weights.shape)
      loss = target = tf.reduce_sum(weights * losses) / total
      if self.loss_scale:
        target = loss * self.loss_scale.scale
    gradients = tape.gradient(target, self.model.trainable_variables)
    if self._keeps_rows:
      return loss, gradients
    return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

  def _accumulated(
    self, batch: dict[str, tf.Tensor], first_row: tf.Tensor, total: tf.Tensor
  ) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """As `_part`, part by part: activations of one part exist at a time."""
    part_of = self._cut(batch, first_row)

    def body(i, loss, gradients):
      more = self._gradient(*part_of(i), total)
      return (i + 1, *tf.nest.map_structure(tf.add, (loss, gradients), more))

    zeros = [tf.zeros(v.shape) for v in self.model.trainable_variables]
    _, loss, gradients = tf.while_loop(
      lambda i, *_: i < self._parts,
      body,
      (0, 0.0, zeros),
      parallel_iterations=1,
      maximum_iterations=self._parts,
    )
    return loss, gradients

  def _cut(
    self, batch: dict[str, tf.Tensor], first_row: tf.Tensor
  ) -> Callable[[int], tuple[dict[str, tf.Tensor], tf.Tensor]]:
    """Cuts rows into parts: place -> the part, and its first row."""
    parts = in_parts(batch, self._parts)
    rows = batch[WEIGHTS].shape[0] // self._parts
    # TensorFlow's optimizer does not know that this adds nothing: of a share
    # that begins at a constant it would make a copy.
    start = first_row + tf.minimum(self.optimizer.iterations, 0)

    def part_of(i):
      part = {name: array[i] for name, array in parts.items()}
      return part, start + tf.cast(i * rows, tf.int64)

    return part_of

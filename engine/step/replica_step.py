"""One training step, as one replica sees it."""

import tensorflow as tf
import tf_keras

from engine.fusion import plain
from engine.randomness import Stream, step_key
from engine.step.guard import Guard
from engine.step.optimization import clip_by_global_norm, squares_of
from engine.step.precision import LossScale
from engine.task import EXAMPLES, LABELS, TOTAL, WEIGHTS, Task, columns


class ReplicaStep:
  """What a replica does with its rows of a batch.

  for part in rows:                        # one, or as many as accumulate
    loss += sum(weights * task.loss(...)) / sum(weights of all replicas)
  optimizer.apply(clip(all_reduce(gradient(loss))))
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
    keeps_rows: bool = False,
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
      keeps_rows: whether the gradient of a table is that of its read rows.
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
    self._parts = accumulate_steps
    # XLA compiles what one replica computes alone; sums stay with the strategy.
    self._gradient = (
      tf.function(plain(self._part), jit_compile=True) if xla else self._part
    )
    # The rows that a table was read at cost less than the table: between
    # machines, and to clip. Where parts or replicas of one machine add up,
    # gradients are dense.
    self._keeps_rows = keeps_rows and accumulate_steps == 1 and not xla

  def __call__(
    self, batch: dict[str, tf.Tensor]
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes the step, in a replica context.

    Args:
      batch: this replica's rows, and `TOTAL`.

    Returns:
      The loss and the gradient norm of the global batch, float32 scalars.
    """
    replica = tf.distribute.get_replica_context()
    batch, total = columns(batch, (TOTAL,))
    rows = batch[WEIGHTS].shape[0]
    empty = total <= 0.0
    total = tf.where(empty, 1.0, total)
    first_row = tf.cast(replica.replica_id_in_sync_group * rows, tf.int64)
    if self._parts == 1:
      loss, gradients = self._gradient(batch, total, first_row)
    else:
      loss, gradients = self._accumulated(batch, total, first_row)
    variables = self.model.trainable_variables
    loss, *gradients = sum_gradients(
      replica, [loss, *gradients], [loss.shape, *(v.shape for v in variables)]
    )
    scale = self.loss_scale and tf.convert_to_tensor(self.loss_scale.scale)
    squares = squares_of(gradients)
    finite = self.guard.update(
      loss,
      squares,
      may_retry=False if scale is None else scale > 1.0,
      empty=empty,
    )
    gradients, norm = clip_by_global_norm(
      gradients, self._clip_norm, squares=squares, taken=finite, scale=scale
    )
    if self.loss_scale:
      self.loss_scale.update(finite)
    self.optimizer.apply_gradients(
      zip(map(tf.convert_to_tensor, gradients), variables, strict=True),
      skip_gradients_aggregation=True,
    )
    return loss, norm

  def _part(
    self, batch: dict[str, tf.Tensor], total: tf.Tensor, first_row: tf.Tensor
  ) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """What some rows of a replica add to loss and (scaled) gradients.

    Args:
      batch: the rows.
      total: sum of the weights of the global batch.
      first_row: int64 scalar, the place of the first in the global batch.
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
    self, batch: dict[str, tf.Tensor], total: tf.Tensor, first_row: tf.Tensor
  ) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """As `_part`, part by part: activations of one part exist at a time."""
    parts = {
      name: tf.reshape(array, [self._parts, -1, *array.shape[1:]])
      for name, array in batch.items()
    }
    rows = batch[WEIGHTS].shape[0] // self._parts

    def body(i, loss, gradients):
      part = {name: array[i] for name, array in parts.items()}
      place = first_row + tf.cast(i * rows, tf.int64)
      more = self._gradient(part, total, place)
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


def sum_gradients(
  replica: tf.distribute.ReplicaContext,
  gradients: list[tf.Tensor | tf.IndexedSlices],
  shapes: list[tf.TensorShape],
) -> list[tf.Tensor | tf.IndexedSlices]:
  """Sums gradients over all replicas; few rows of a table by gathering them.

  Args:
    replica: this one's context.
    gradients: of equal shapes on all replicas.
    shapes: of the variables.

  Returns:
    The gradients, equal on all replicas: dense, or rows as `merged` has them.
  """
  total = list(gradients)
  for i, gradient in enumerate(gradients):
    if isinstance(gradient, tf.IndexedSlices):
      size = gradient.values.shape.num_elements()  # None: not static.
      few = size and size * replica.num_replicas_in_sync
      if few and few < shapes[i].num_elements():
        values, indices = replica.all_gather(
          (gradient.values, gradient.indices), axis=0
        )
        rows = gradient.values.shape[0] * replica.num_replicas_in_sync
        values.set_shape([rows, *shapes[i][1:]])  # Gathering forgets it.
        total[i] = merged(values, indices, shapes[i])
  rest = [i for i, value in enumerate(total) if value is gradients[i]]
  sums = replica.all_reduce(
    "SUM", [tf.convert_to_tensor(gradients[i]) for i in rest]
  )
  for i, value in zip(rest, sums, strict=True):
    total[i] = value
  return total


def merged(
  values: tf.Tensor, indices: tf.Tensor, shape: tf.TensorShape
) -> tf.IndexedSlices:
  """Adds up rows of equal indices, with static shapes.

  Args:
    values: [rows, ...].
    indices: int [rows], where they belong in the table.
    shape: of the table.

  Returns:
    As many rows. The first of each index has the sum, the others are 0: so the
    squares of all rows are those of the table.
  """
  rows = tf.range(tf.shape(indices)[0])
  first = tf.math.unsorted_segment_min(rows, indices, shape[0])
  sums = tf.math.unsorted_segment_sum(
    values, tf.gather(first, indices), values.shape[0]
  )
  return tf.IndexedSlices(sums, indices, tf.constant(shape.as_list()))

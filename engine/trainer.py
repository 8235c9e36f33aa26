"""The training loop: compiled steps, and the loop around them."""

import dataclasses
import functools
from typing import Any

import numpy as np
import orbit
import tensorflow as tf
import tf_keras

from engine.inputs import Inputs
from engine.ledger import Ledger
from engine.optimization import clip_by_global_norm
from engine.precision import LossScale
from engine.programs import Programs, Shape, plain
from engine.randomness import Stream
from engine.strategies import workers_of
from engine.task import EXAMPLES, LABELS, WEIGHTS, Task, columns


class Trainer(orbit.StandardTrainer):
  """Trains one model on one order of batches.

      for shape, steps in runs(global_step, num_steps):  # on the host
        batches = fetch(global_step, steps)
        for batch in batches:                            # on the device
          for part in shares(batch):                     # to accumulate
            loss += sum(weights * task.loss(...)) / sum(all weights)
          optimizer.apply(clip(all_reduce(gradient(loss))))
          global_step += 1

  Steps in a row that share a shape run in one device loop, so each loop is
  compiled for one static shape; which step has which shape is known before,
  since the order is a function of the step.
  """

  def __init__(
    self,
    *,
    task: Task,
    model: tf_keras.Model,
    optimizer: tf_keras.optimizers.Optimizer,
    inputs: Inputs,
    strategy: tf.distribute.Strategy,
    seed: int,
    clip_norm: float,
    steps_per_loop: int,
    ledger: Ledger,
    loss_scale: LossScale | None = None,
    accumulate_steps: int = 1,
    xla: bool = False,
  ):
    """Initializes the trainer; call it in the scope of the strategy.

    Args:
      task: what is learned.
      model: of the task.
      optimizer: with all of its variables; counts the steps.
      inputs: the batches.
      strategy: the replicas.
      seed: of what is random in a step.
      clip_norm: largest norm of the gradient (0: no limit).
      steps_per_loop: most steps in one device loop.
      ledger: where the seconds go.
      loss_scale: of float16; the optimizer looks at its `taken`.
      accumulate_steps: parts of a replica's share, one after the other.
      xla: whether XLA compiles loss and gradient.
    """
    super().__init__(train_dataset=None)
    self.global_step = optimizer.iterations
    self._task = task
    # Replicas hold equal variables: only then may one of them save for all.
    for variable in model.variables:
      on_read = tf.VariableSynchronization.ON_READ
      assert variable.synchronization != on_read, variable.name
    self._model = model
    self.optimizer = optimizer
    self.inputs = inputs
    self._strategy = strategy
    self._seed = seed
    self._clip_norm = clip_norm
    self._steps_per_loop = steps_per_loop
    self._ledger = ledger
    self.loss_scale = loss_scale
    self._parts = accumulate_steps
    # XLA compiles what one replica computes alone; sums stay with the strategy.
    self._gradient = (
      tf.function(plain(self._part), jit_compile=True) if xla else self._part
    )
    # Between machines the rows that a table was read at cost less than the
    # table. Elsewhere, and where parts add up, gradients are dense.
    self._keeps_rows = (
      len(workers_of(strategy)) > 1 and accumulate_steps == 1 and not xla
    )
    self.programs = Programs(self._device_loop, ledger)
    self.work = Work()
    self._loss = tf.Variable(0.0, trainable=False)
    self._norm = tf.Variable(0.0, trainable=False)
    self._skipped = 0

  def train_loop_begin(self) -> None:
    """Begins at the global step, wherever that is."""
    for total in (self._loss, self._norm):
      total.assign(tf.zeros_like(total))
    self._first_step = int(self.global_step.numpy())
    self._skipped = 0
    self._train_iter = self.inputs  # Fetched by step: nothing to iterate.

  def create_train_loop_fn(self):
    """Returns the host's loop over runs of steps of one shape."""

    def loop_fn(inputs, num_steps):
      step = self._first_step
      end = step + int(num_steps)
      while step < end:
        step += self._run(inputs, step, min(end - step, self._steps_per_loop))

    return loop_fn

  def _run(self, inputs: Inputs, step: int, limit: int) -> int:
    """Runs steps in a row that share a shape; returns how many.

    With a loss scale some may not be taken: the next call tries them again.

    Raises:
      FloatingPointError: where that would go on for ever.
    """
    shape = inputs.layout(step).shape
    # A program's first call compiles: one step, whose time is no rate.
    first = shape not in self.programs
    steps = 1
    while (
      not first and steps < limit and inputs.layout(step + steps).shape == shape
    ):
      steps += 1
    with self._ledger.time("input_wait"):
      batches = inputs.fetch(step, steps, capacity=self._steps_per_loop)
    before = self._ledger.totals()["step"]
    scale = self.loss_scale and float(self.loss_scale.scale.numpy())
    with self._ledger.time("step"):
      start = tf.constant(step, tf.int64)
      self.programs(shape, (batches, start), tf.constant(steps))
      self._loss.numpy()  # Accelerators work asynchronously: wait for them.
    taken = int(self.global_step.numpy()) - step
    if taken < steps:
      self._skipped += steps - taken
      if not taken and scale <= 1.0:
        raise FloatingPointError(
          f"The gradient of step {step} is not finite at any loss scale: the "
          "run stops. Try a lower --learning_rate, or --precision=bfloat16."
        )
    if not first:
      self.work.seconds += self._ledger.totals()["step"] - before
      for s in range(step, step + taken):
        layout, examples = inputs.layout(s), len(inputs.order.indices(s))
        self.work.add(examples, layout.units, layout.capacity)
    return taken

  def _device_loop(self, shape: Shape):
    step_fn = functools.partial(self.train_step, shape=shape)
    return orbit.utils.create_tf_while_loop_fn(plain(step_fn))

  def train_step(self, iterator, shape: Shape) -> None:
    """Implements one step, in the cross-replica context.

    Args:
      iterator: the batches of this device loop, and its first step.
      shape: of the batches.
    """
    batches, first_step = iterator
    place = self.global_step - first_step

    def replica_step(batches, place):
      return self.replica_step(self.inputs.pick(batches, place, shape))

    loss, norm = (
      self._strategy.experimental_local_results(x)[0]
      for x in self._strategy.run(replica_step, args=(batches, place))
    )
    if self.loss_scale:
      taken = tf.math.is_finite(norm)
      loss, norm = tf.where(taken, loss, 0.0), tf.where(taken, norm, self._norm)
    self._loss.assign_add(loss)
    self._norm.assign(norm)

  def replica_step(
    self, batch: dict[str, tf.Tensor]
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """One replica's part of a step, in its replica context.

    Args:
      batch: this replica's rows.

    Returns:
      The loss and the gradient norm of the global batch, float32 scalars.
    """
    replica = tf.distribute.get_replica_context()
    rows = batch[WEIGHTS].shape[0]
    total = replica.all_reduce("SUM", tf.reduce_sum(batch[WEIGHTS]))
    first_row = tf.cast(replica.replica_id_in_sync_group * rows, tf.int64)
    if self._parts == 1:
      loss, gradients = self._gradient(batch, total, first_row)
    else:
      loss, gradients = self._accumulated(batch, total, first_row)
    variables = self._model.trainable_variables
    loss, *gradients = sum_gradients(
      replica, [loss, *gradients], [loss.shape, *(v.shape for v in variables)]
    )
    scale = self.loss_scale and tf.convert_to_tensor(self.loss_scale.scale)
    gradients, norm = clip_by_global_norm(
      gradients, self._clip_norm, scale=scale
    )
    if self.loss_scale:
      self.loss_scale.update(tf.math.is_finite(norm))
    self.optimizer.apply_gradients(
      zip(gradients, variables, strict=True),
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
    random = Stream(seed=self._seed, step=self.global_step, first_row=first_row)
    with tf.GradientTape() as tape:
      outputs = self._task.forward(self._model, features, random)
      losses = self._task.loss(labels, outputs)
      assert losses.dtype == tf.float32, losses.dtype
      assert losses.shape == weights.shape, (losses.shape, weights.shape)
      loss = target = tf.reduce_sum(weights * losses) / total
      if self.loss_scale:
        target = loss * self.loss_scale.scale
    gradients = tape.gradient(target, self._model.trainable_variables)
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

    zeros = [tf.zeros(v.shape) for v in self._model.trainable_variables]
    _, loss, gradients = tf.while_loop(
      lambda i, *_: i < self._parts,
      body,
      (0, 0.0, zeros),
      parallel_iterations=1,
      maximum_iterations=self._parts,
    )
    return loss, gradients

  def train_loop_end(self) -> dict[str, Any]:
    """Returns the scalars of this loop: a log point.

    Raises:
      FloatingPointError: where the loss or the gradient is not finite.
    """
    steps = int(self.global_step.numpy()) - self._first_step
    scalars = {
      "loss": float(self._loss.numpy()) / steps,
      "gradient_norm": float(self._norm.numpy()),
      "learning_rate": float(self.optimizer.learning_rate.numpy()),
    }
    if self.loss_scale:
      scalars["loss_scale"] = float(self.loss_scale.scale.numpy())
      scalars["skipped_steps"] = self._skipped
    for name, value in scalars.items():
      if not np.isfinite(value):
        raise FloatingPointError(
          f"`{name}` is {value} in steps {self._first_step} to "
          f"{self._first_step + steps - 1}: the run stops before it reaches a "
          "checkpoint. Try a lower --learning_rate."
        )
    return scalars


def sum_gradients(
  replica: tf.distribute.ReplicaContext,
  gradients: list,
  shapes: list[tf.TensorShape],
) -> list[tf.Tensor]:
  """Sums gradients over all replicas; few rows of a table by gathering them.

  Args:
    replica: this one's context.
    gradients: tensors, or `tf.IndexedSlices` of equal sizes on all replicas.
    shapes: of the variables.

  Returns:
    Dense gradients, equal on all replicas.
  """
  total = list(gradients)
  for i, gradient in enumerate(gradients):
    if isinstance(gradient, tf.IndexedSlices):
      size = gradient.values.shape.num_elements()
      if size * replica.num_replicas_in_sync < shapes[i].num_elements():
        values, indices = replica.all_gather(
          (gradient.values, gradient.indices), axis=0
        )
        total[i] = tf.math.unsorted_segment_sum(values, indices, shapes[i][0])
  rest = [i for i, value in enumerate(total) if value is gradients[i]]
  sums = replica.all_reduce(
    "SUM", [tf.convert_to_tensor(gradients[i]) for i in rest]
  )
  for i, value in zip(rest, sums, strict=True):
    total[i] = value
  return total


@dataclasses.dataclass
class Work:
  """What the steps that count in a rate have worked on, and for how long."""

  steps: int = 0
  examples: int = 0
  units: int = 0
  capacity: int = 0
  seconds: float = 0.0

  def add(self, examples: int, units: int, capacity: int) -> None:
    """Adds one step."""
    self.steps += 1
    self.examples += examples
    self.units += units
    self.capacity += capacity

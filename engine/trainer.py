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
from engine.programs import Programs, Shape, plain
from engine.randomness import Stream
from engine.task import EXAMPLES, LABELS, WEIGHTS, Task, columns


class Trainer(orbit.StandardTrainer):
  """Trains one model on one order of batches.

      for shape, steps in runs(global_step, num_steps):  # on the host
        batches = fetch(global_step, steps)
        for batch in batches:                            # on the device
          loss = sum(weights * task.loss(...)) / sum(weights)   # all replicas
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
  ):
    super().__init__(train_dataset=None)
    self.global_step = optimizer.iterations
    self._task = task
    self._model = model
    self.optimizer = optimizer
    self.inputs = inputs
    self._strategy = strategy
    self._seed = seed
    self._clip_norm = clip_norm
    self._steps_per_loop = steps_per_loop
    self._ledger = ledger
    self.programs = Programs(self._device_loop, ledger)
    self.work = Work()
    self._loss = tf.Variable(0.0, trainable=False)
    self._norm = tf.Variable(0.0, trainable=False)

  def train_loop_begin(self) -> None:
    """Begins at the global step, wherever that is."""
    for total in (self._loss, self._norm):
      total.assign(tf.zeros_like(total))
    self._first_step = int(self.global_step.numpy())
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
    """Runs steps in a row that share a shape; returns how many."""
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
    with self._ledger.time("step"):
      start = tf.constant(step, tf.int64)
      self.programs(shape, (batches, start), tf.constant(steps))
      self._loss.numpy()  # Accelerators work asynchronously: wait for them.
    if not first:
      self.work.seconds += self._ledger.totals()["step"] - before
      for s in range(step, step + steps):
        layout, examples = inputs.layout(s), len(inputs.order.indices(s))
        self.work.add(examples, layout.units, layout.capacity)
    return steps

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

    loss, norm = self._strategy.run(replica_step, args=(batches, place))
    self._loss.assign_add(self._strategy.experimental_local_results(loss)[0])
    self._norm.assign(self._strategy.experimental_local_results(norm)[0])

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
    features, labels, weights, _ = columns(batch, (LABELS, WEIGHTS, EXAMPLES))
    random = Stream(
      seed=self._seed,
      step=self.global_step,
      first_row=replica.replica_id_in_sync_group * weights.shape[0],
    )
    total = replica.all_reduce("SUM", tf.reduce_sum(weights))
    variables = self._model.trainable_variables
    with tf.GradientTape() as tape:
      outputs = self._task.forward(self._model, features, random)
      losses = self._task.loss(labels, outputs)
      assert losses.dtype == tf.float32, losses.dtype
      assert losses.shape == weights.shape, (losses.shape, weights.shape)
      loss = tf.reduce_sum(weights * losses) / total
    gradients = [
      tf.convert_to_tensor(gradient)
      for gradient in tape.gradient(loss, variables)
    ]
    loss, *gradients = replica.all_reduce("SUM", [loss, *gradients])
    gradients, norm = clip_by_global_norm(gradients, self._clip_norm)
    self.optimizer.apply_gradients(
      zip(gradients, variables, strict=True), skip_gradients_aggregation=True
    )
    return loss, norm

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
    for name, value in scalars.items():
      if not np.isfinite(value):
        raise FloatingPointError(
          f"`{name}` is {value} in steps {self._first_step} to "
          f"{self._first_step + steps - 1}: the run stops before it reaches a "
          "checkpoint. Try a lower --learning_rate."
        )
    return scalars


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

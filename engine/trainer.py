"""The training loop: device loops of steps, and the host's loop around."""

import dataclasses
import functools
from typing import Any

import numpy as np
import orbit
import tensorflow as tf

from engine.inputs import Inputs
from engine.ledger import Ledger
from engine.programs import Programs, Shape, plain
from engine.step import ReplicaStep


class Trainer(orbit.StandardTrainer):
  """Trains one model on one order of batches.

      for shape, steps in runs(global_step, num_steps):  # on the host
        batches = fetch(global_step, steps)
        for batch in batches:                            # on the device
          replica_step(batch)                            # on all replicas
          global_step += 1

  Steps in a row that share a shape run in one device loop, so each loop is
  compiled for one static shape; which step has which shape is known before,
  since the order is a function of the step.
  """

  def __init__(
    self,
    *,
    replica_step: ReplicaStep,
    inputs: Inputs,
    strategy: tf.distribute.Strategy,
    steps_per_loop: int,
    ledger: Ledger,
  ):
    """Initializes the trainer; call it in the scope of the strategy.

    Args:
      replica_step: what each replica does with its rows of a batch.
      inputs: the batches.
      strategy: the replicas.
      steps_per_loop: most steps in one device loop.
      ledger: where the seconds go.
    """
    super().__init__(train_dataset=None)
    self.replica_step = replica_step
    self.optimizer = replica_step.optimizer
    self.global_step = self.optimizer.iterations
    self.loss_scale = replica_step.loss_scale
    self.inputs = inputs
    self._strategy = strategy
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

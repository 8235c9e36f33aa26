"""The training loop: device loops of steps, and the host's loop around."""

import functools
from typing import Any

import numpy as np
import orbit
import tensorflow as tf

from engine.fusion import plain
from engine.loop.boundary import Boundary
from engine.loop.inputs import Inputs
from engine.loop.programs import Programs, Shape
from engine.measure.ledger import Ledger, Work
from engine.step.finite import FiniteCheck
from engine.step.replica_step import ReplicaStep


class Trainer(orbit.StandardTrainer):
  """Trains one model on one order of batches.

      for shape, steps in runs(global_step, num_steps):  # on the host
        boundary()                                       # may end the loop here
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
    boundary: Boundary,
  ):
    """Initializes the trainer; call it in the scope of the strategy.

    Args:
      replica_step: what each replica does with its rows of a batch.
      inputs: the batches.
      strategy: the replicas.
      steps_per_loop: most steps in one device loop.
      ledger: where the seconds go.
      boundary: looked at between two device loops.
    """
    super().__init__(train_dataset=None)
    self.replica_step = replica_step
    self.optimizer = replica_step.optimizer
    self.global_step = self.optimizer.iterations
    self.loss_scale = replica_step.loss_scale
    self.guard = replica_step.guard
    self.averages = replica_step.optimizer.averages
    self.inputs = inputs
    self._strategy = strategy
    self._steps_per_loop = steps_per_loop
    self._ledger = ledger
    self.programs = Programs(self._device_loop, ledger)
    self.work = Work()
    self.window = Window()
    self._boundary = boundary
    model, averages = replica_step.model, self.averages
    self._finite = FiniteCheck(
      [
        *model.variables,
        *self.optimizer.variables,
        *(averages.values if averages else ()),
      ],
      strategy,
    )

  def train_loop_begin(self) -> None:
    """Begins at the global step, wherever that is."""
    self._train_iter = self.inputs  # Fetched by step: nothing to iterate.

  def create_train_loop_fn(self):
    """Returns the host's loop over runs of steps of one shape."""

    def loop_fn(inputs, num_steps):
      step = int(self.global_step.numpy())
      end = step + int(num_steps)
      while step < end:
        self._boundary.check(step)
        limit = min(end - step, self._boundary.limit(self._steps_per_loop))
        step += self._run(inputs, step, limit)

    return loop_fn

  def _run(self, inputs: Inputs, step: int, limit: int) -> int:
    """Runs steps in a row that share a shape; returns how many.

    With a loss scale some may not be counted: the next call tries them again.

    Raises:
      FloatingPointError: where that would go on for ever.
    """
    with self._ledger.time("input_wait"):
      shape = inputs.prepared(step).layout.shape
      # A program's first call compiles: one step, whose time is no rate.
      first = shape not in self.programs
      steps, limit = 1, 1 if first else limit
      while (
        steps < limit and inputs.prepared(step + steps).layout.shape == shape
      ):
        steps += 1
      batches = inputs.fetch(step, steps, capacity=self._steps_per_loop)
    for s in range(step, step + steps):
      inputs.tell_weightless(s)
    before = self._ledger.totals()["step"]
    scale = self.loss_scale and float(self.loss_scale.scale.numpy())
    with self._ledger.time("step"):
      start = tf.constant(step, tf.int64)
      self.programs(shape, (batches, start), tf.constant(steps))
      self.window.loss.numpy()  # Accelerators work asynchronously: wait.
    counted = int(self.global_step.numpy()) - step
    if counted < steps and not (scale and (counted or scale > 1.0)):
      self._stop_at(step + counted, scale)
    self.window.repeated.assign_add(steps - counted)
    if not first:
      seconds = self._ledger.totals()["step"] - before
      self._boundary.measured(steps, seconds)
      self.work.seconds += seconds
      for s in range(step, step + counted):
        done = inputs.prepared(s)
        self.work.add(len(done.indices), done.layout)
    return counted

  def _stop_at(self, step: int, scale: float | None) -> None:
    self.check_finite()  # A loss of such weights is not finite either.
    name = self.guard.name_of_culprit(
      self.replica_step.model.trainable_variables
    )
    at_any = " at any loss scale" if scale else ""
    raise FloatingPointError(
      f"In step {step} {name} is not finite{at_any}: the run stops; "
      "the checkpoints are those before it. Try a lower --learning_rate"
      + (", or --precision=bfloat16." if scale else ", or --on_nonfinite=skip.")
    )

  def check_finite(self) -> None:
    """Looks at what a checkpoint would hold, before one is saved.

    Raises:
      FloatingPointError: where a variable is not finite.
    """
    if name := self._finite.culprit():
      raise FloatingPointError(
        f"At step {int(self.global_step.numpy())} {name} is not finite, though "
        "losses and gradients were: the run stops before it reaches a "
        "checkpoint. See to the weights that it began with, or take a lower "
        "learning_rate or weight_decay, or a larger epsilon."
      )

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
    taken = tf.convert_to_tensor(self.guard.taken)
    self.window.add(loss, norm, taken)

  def train_loop_end(self) -> dict[str, Any]:
    """Returns the scalars since the last log point, and begins a new window.

    Raises:
      FloatingPointError: where a scalar or a variable is not finite.
    """
    window = self.window
    scalars = {
      "loss": float(window.loss.numpy()) / max(1, int(window.taken.numpy())),
      "gradient_norm": float(window.norm.numpy()),
      "learning_rate": float(self.optimizer.learning_rate.numpy()),
    }
    if self.loss_scale:
      scalars["loss_scale"] = float(self.loss_scale.scale.numpy())
      scalars["skipped_steps"] = int(window.repeated.numpy())
    if self.guard.skips:
      scalars["skipped_batches"] = int(self.guard.skipped.numpy())
    if not bool(self.guard.taken.numpy()):
      self.check_finite()  # Such weights would skip all that follows.
    for name, value in scalars.items():
      if not np.isfinite(value):
        raise FloatingPointError(
          f"`{name}` is {value} at step {int(self.global_step.numpy())}: the "
          "run stops before it reaches a checkpoint. Try a lower "
          "--learning_rate."
        )
    window.begin()
    return scalars


class Window(tf.Module):
  """What the steps since the last log point add up to.

  It is part of a checkpoint: a run that stops between two log points writes
  the second one as if it had not stopped.
  """

  def __init__(self):
    """Creates the variables; call it in the scope of the strategy."""
    super().__init__(name="window")
    self.loss = tf.Variable(0.0, trainable=False)
    self.norm = tf.Variable(0.0, trainable=False)
    self.taken = tf.Variable(0, trainable=False)
    self.repeated = tf.Variable(0, trainable=False)

  def add(self, loss: tf.Tensor, norm: tf.Tensor, taken: tf.Tensor) -> None:
    """Adds a step, in the cross-replica context; one not taken adds nothing."""
    self.loss.assign_add(tf.where(taken, loss, 0.0))
    self.norm.assign(tf.where(taken, norm, self.norm))
    self.taken.assign_add(tf.cast(taken, tf.int32))

  def begin(self) -> None:
    """Begins anew."""
    for variable in (self.loss, self.norm, self.taken, self.repeated):
      variable.assign(tf.zeros_like(variable))

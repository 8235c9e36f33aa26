"""What the device does with a step that it is given, and what it tells."""

import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from engine.fusion import plain
from engine.loop.inputs import Inputs
from engine.loop.programs import Shape
from engine.step.replica_step import ReplicaStep


class Numbers(NamedTuple):
  """What the host learns of a step; one float64 tensor on its way.

  Attributes:
    began: when the device began with it, in seconds.
    ran: whether it was its turn; if not, it has changed nothing.
    counted: whether the global step counts it.
    loss: sum over the taken steps of the window.
    norm: of the gradient of the newest taken step.
    taken: steps of the window that changed weights.
    repeated: tries of the window that were not counted.
    skipped: batches that the run has skipped so far.
    was_taken: whether this step changed weights.
    learning_rate: of the step.
    tried_scale: loss scale that it was tried with; 0: there is none.
    scale: the one behind it.
    ended: when the device had done it, in seconds.
  """

  began: float
  ran: float
  counted: float
  loss: float
  norm: float
  taken: float
  repeated: float
  skipped: float
  was_taken: float
  learning_rate: float
  tried_scale: float
  scale: float
  ended: float


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

  def add(
    self,
    loss: tf.Tensor,
    norm: tf.Tensor,
    *,
    taken: tf.Tensor,
    counted: tf.Tensor,
  ) -> None:
    """Adds a step, in the cross-replica context; one not taken adds nothing."""
    self.loss.assign_add(tf.where(taken, loss, 0.0))
    self.norm.assign(tf.where(taken, norm, self.norm))
    self.taken.assign_add(tf.cast(taken, tf.int32))
    self.repeated.assign_add(1 - tf.cast(counted, tf.int32))

  def begin(self, anew: tf.Tensor) -> None:
    """Begins anew, where `anew` says so."""
    for variable in (self.loss, self.norm, self.taken, self.repeated):
      variable.assign(tf.where(anew, tf.zeros_like(variable), variable))


class DeviceStep:
  """A step, if the global step is the one that it was made for.

      if global_step == step:
        replica_step(batch)       # on all replicas
        window.add(loss, norm)
      tell numbers
      if it closes the window and is counted: window.begin()

  So a step may be given to the device before anybody knows how the one before
  it came out.
  """

  def __init__(
    self,
    replica_step: ReplicaStep,
    inputs: Inputs,
    strategy: tf.distribute.Strategy,
  ):
    """Initializes the step; call it in the scope of the strategy.

    Args:
      replica_step: what each replica does with its rows of a batch.
      inputs: the batches.
      strategy: the replicas.
    """
    self._replica_step = replica_step
    self._inputs = inputs
    self._strategy = strategy
    self.window = Window()

  def program(self, shape: Shape) -> Callable[..., tf.Tensor]:
    """Returns the function of batches of one shape.

    It takes a batch as `Inputs.fetch` gives it; its global step, int64 scalar;
    and whether a log point is behind it, bool scalar. It returns `Numbers`.
    """

    def step_of(batch, step, closes):
      began = _now()
      optimizer, guard = self._replica_step.optimizer, self._replica_step.guard
      tried_scale = self._scale()
      ran = tf.equal(optimizer.iterations, step)
      tf.cond(ran, lambda: self._take(batch, shape), lambda: False)
      counted = ran & tf.not_equal(optimizer.iterations, step)
      numbers = Numbers(
        began=began,
        ran=ran,
        counted=counted,
        loss=self.window.loss,
        norm=self.window.norm,
        taken=self.window.taken,
        repeated=self.window.repeated,
        skipped=guard.skipped,
        was_taken=guard.taken,
        learning_rate=optimizer.learning_rate,
        tried_scale=tried_scale,
        scale=self._scale(),
        ended=0.0,
      )
      with tf.device("CPU:0"):  # The host waits for them, and for no more.
        told = tf.stack([tf.cast(x, tf.float64) for x in numbers[:-1]])
        with tf.control_dependencies([told]):
          told = tf.concat([told, [_now()]], 0)
      self.window.begin(closes & counted)
      return told

    return plain(step_of)

  def _scale(self) -> tf.Tensor:
    scale = self._replica_step.loss_scale
    return tf.identity(scale.scale) if scale else tf.constant(0.0)

  def _take(self, batch: dict[str, tf.Tensor], shape: Shape) -> bool:
    """Takes the step, in the cross-replica context."""

    def replica_step(batch):
      return self._replica_step(self._inputs.pick(batch, shape))

    loss, norm = (
      self._strategy.experimental_local_results(x)[0]
      for x in self._strategy.run(replica_step, args=(batch,))
    )
    guard = self._replica_step.guard
    self.window.add(
      loss,
      norm,
      taken=tf.convert_to_tensor(guard.taken),
      counted=tf.convert_to_tensor(guard.counted),
    )
    return True


def _now() -> tf.Tensor:
  """The seconds of a steady clock, once what stands before it has run.

  Of the host: TensorFlow has no clock of its own for deterministic runs.
  """
  now = tf.numpy_function(time.monotonic, [], tf.float64)
  now.set_shape([])
  return now

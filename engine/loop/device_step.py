"""What the device does with a step that it is given, and what it tells."""

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
  """

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
    # Of int32 they would be the host's; no program of XLA for a GPU takes them.
    self.taken = tf.Variable(0, trainable=False, dtype=tf.int64)
    self.repeated = tf.Variable(0, trainable=False, dtype=tf.int64)

  def add(
    self,
    loss: tf.Tensor,
    norm: tf.Tensor,
    *,
    taken: tf.Tensor,
    repeated: tf.Tensor,
  ) -> None:
    """Adds a step, in the cross-replica context; one not taken adds nothing."""
    self.loss.assign_add(tf.where(taken, loss, 0.0))
    self.norm.assign(tf.where(taken, norm, self.norm))
    self.taken.assign_add(tf.cast(taken, tf.int64))
    self.repeated.assign_add(tf.cast(repeated, tf.int64))

  def begin(self, anew: tf.Tensor) -> None:
    """Begins anew, where `anew` says so."""
    for variable in (self.loss, self.norm, self.taken, self.repeated):
      variable.assign(tf.where(anew, tf.zeros_like(variable), variable))


class DeviceStep:
  """A step, if the global step is the one that it was made for.

      turn = global_step == step
      replica_step(batch, turn)   # on all replicas
      window.add(loss, norm)      # out of turn both change nothing
      tell numbers
      if it closes the window and is counted: window.begin()

  So a step may be given to the device before anybody knows how the one before
  it came out. Nothing in it asks the host: a GPU or TPU goes from step to step
  by itself, and whoever reads the numbers learns when they came.
  """

  def __init__(
    self,
    replica_step: ReplicaStep,
    inputs: Inputs,
    strategy: tf.distribute.Strategy,
    xla: bool = False,
  ):
    """Initializes the step; call it in the scope of the strategy.

    Args:
      replica_step: what each replica does with its rows of a batch.
      inputs: the batches.
      strategy: the replicas.
      xla: whether XLA compiles all of it, on one device.
    """
    self._xla = xla
    self._replica_step = replica_step
    self._inputs = inputs
    self._strategy = strategy
    self.window = Window()

  def program(self, shape: Shape) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Returns the function of batches of one shape.

    It takes a batch as `Inputs.fetch` gives it; its global step, int64 scalar;
    whether a log point is behind it, bool scalar; and what this worker adds to
    the sum of all (`Boundary.signals`). It returns `Numbers` and that sum.
    """

    def step_of(batch, step, closes, signals):
      optimizer, guard = self._replica_step.optimizer, self._replica_step.guard
      tried_scale = self._scale()
      ran = tf.equal(optimizer.iterations, step)
      signals = self._take(batch, shape, ran, signals)
      counted = ran & tf.not_equal(optimizer.iterations, step)
      numbers = Numbers(
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
      )
      told = tf.stack([tf.cast(x, tf.float64) for x in numbers])
      with tf.control_dependencies([told]):
        self.window.begin(closes & counted)
      return told, signals

    if self._xla:
      return tf.function(plain(step_of), jit_compile=True)
    return plain(step_of)

  def _scale(self) -> tf.Tensor:
    scale = self._replica_step.loss_scale
    return tf.identity(scale.scale) if scale else tf.constant(0.0)

  def _take(
    self,
    batch: dict[str, tf.Tensor],
    shape: Shape,
    turn: tf.Tensor,
    signals: tf.Tensor,
  ) -> tf.Tensor:
    """Takes the step, in the cross-replica context; returns summed signals."""

    def replica_step(batch, turn, signals):
      return self._replica_step(self._inputs.pick(batch, shape), turn, signals)

    loss, norm, signals = (
      self._strategy.experimental_local_results(x)[0]
      for x in self._strategy.run(replica_step, args=(batch, turn, signals))
    )
    guard = self._replica_step.guard
    counted = tf.convert_to_tensor(guard.counted)
    self.window.add(
      loss,
      norm,
      taken=tf.convert_to_tensor(guard.taken),
      repeated=turn & ~counted,
    )
    return signals

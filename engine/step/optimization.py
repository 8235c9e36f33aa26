"""AdamW and LAMB, their schedule, and the learning rate of each layer."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras
from official.modeling.optimization import lr_schedule

from engine.config import OptimizerConfig
from engine.step.averages import Averages
from engine.step.guard import Guard


class Pace(NamedTuple):
  """What a step does to all variables of one learning rate: float32 scalars.

  Attributes:
    rate: of learning.
    decay: what a weight loses, of itself.
    betas: what is kept of both moments.
    powers: of the betas, by the number of steps.
    epsilon: added to the root of the second moment.
  """

  rate: tf.Tensor
  decay: tf.Tensor
  betas: tuple[tf.Tensor, tf.Tensor]
  powers: tuple[tf.Tensor, tf.Tensor]
  epsilon: tf.Tensor


def _adam(variable, moment, square, gradient, pace):
  """Updates a variable; it and its moments are resource handles."""
  tf.raw_ops.ResourceApplyAdam(
    var=variable,
    m=moment,
    v=square,
    beta1_power=pace.powers[0],
    beta2_power=pace.powers[1],
    lr=pace.rate,
    beta1=pace.betas[0],
    beta2=pace.betas[1],
    epsilon=pace.epsilon,
    grad=gradient,
  )


_NUMBER, _HANDLE = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.resource)
_TWO = (_NUMBER, _NUMBER)


@tf.function(
  input_signature=[
    *(_HANDLE, _HANDLE, _HANDLE, tf.TensorSpec(None, tf.float32)),
    Pace(_NUMBER, _NUMBER, _TWO, _TWO, _NUMBER),
  ],
  autograph=False,
)
def _decay_and_adam(variable, moment, square, gradient, pace):
  """As `_adam`, behind the decay; traced once, for all variables."""
  value = tf.raw_ops.ReadVariableOp(resource=variable, dtype=tf.float32)
  tf.raw_ops.AssignSubVariableOp(resource=variable, value=value * pace.decay)
  _adam(variable, moment, square, gradient, pace)


class AdamW(tf_keras.optimizers.AdamW):
  """Keras' AdamW with TensorFlow's fused kernel and a rate for each layer.

  Keras spells Adam as a dozen element-wise ops over each variable;
  `ResourceApplyAdam` reads and writes each value once. The decay is decoupled
  (Loshchilov and Hutter, arXiv 1711.05101).
  """

  def __init__(
    self,
    *,
    rate_factor: Callable[[str], float],
    guard: Guard | None = None,
    averages: Averages | None = None,
    **kwargs,
  ):
    """Initializes the optimizer.

    Args:
      rate_factor: name of a variable -> factor of its learning rate.
      guard: says which steps change weights, and which are counted.
      averages: of the variables, in their order; move with them.
      **kwargs: what Keras' AdamW takes.
    """
    super().__init__(jit_compile=False, **kwargs)
    self._rate_factor = rate_factor
    self._guard = guard
    self.averages = averages

  def _apply_weight_decay(self, variables: Sequence[tf.Variable]) -> None:
    """Does nothing: `update_step` decays each variable with its own rate."""

  def _average(self, variable: tf.Variable) -> None:
    """Moves the average of a variable that was just updated."""
    if self.averages is not None:
      self.averages.update(
        self._index_dict[self._var_key(variable)],
        variable,
        tf.cast(self.iterations, tf.float32),
        True if self._guard is None else self._guard.taken,
      )

  def _internal_apply_gradients(self, grads_and_vars) -> tf.Variable:
    """Updates all variables of a replica; counts the step if the guard does.

    Keras would leave the replica for each variable; here the caller has, once.
    """
    self._paces: dict[float, Pace] = {}
    for gradient, variable in grads_and_vars:
      self.update_step(gradient, variable)
    counted = True if self._guard is None else self._guard.counted
    return self.iterations.assign_add(tf.cast(counted, tf.int64))

  def _pace_of(self, variable: tf.Variable) -> Pace:
    """Returns the pace of a variable; built once, not for each variable."""
    factor = self._rate_factor(variable.name)
    if factor not in self._paces:
      self._paces[factor] = self._pace(factor)
    return self._paces[factor]

  def _pace(self, factor: float) -> Pace:
    rate = self.learning_rate * factor
    betas: Any = (self.beta_1, self.beta_2)
    step = tf.cast(self.iterations + 1, tf.float32)
    powers = tf.pow(betas[0], step), tf.pow(betas[1], step)
    if self._guard is not None:
      # With a gradient of 0, an update at rate 0 that keeps all of both moments
      # keeps all bits. It needs no branch, which would copy the variables.
      taken = tf.convert_to_tensor(self._guard.taken)
      rate, *betas = (
        tf.where(taken, x, kept)
        for x, kept in ((rate, 0.0), (betas[0], 1.0), (betas[1], 1.0))
      )
    decay, epsilon = rate * self.weight_decay, tf.constant(self.epsilon)
    return Pace(rate, decay, tuple(betas), powers, epsilon)

  def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
    """Updates one variable, given its dense gradient."""
    pace = self._pace_of(variable)
    key = self._index_dict[self._var_key(variable)]
    moments = self._momentums[key].handle, self._velocities[key].handle
    update = _decay_and_adam if self._use_weight_decay(variable) else _adam
    update(variable.handle, moments[0], moments[1], gradient, pace)
    self._average(variable)


class Lamb(AdamW):
  """LAMB: each matrix steps in proportion to its norm, for large batches.

  You et al., arXiv 1904.00962, version 5. What has no weight decay (biases,
  layer norms) steps as in Adam, as in the authors' and Model Garden's code.
  """

  def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
    """Updates one variable, given its dense gradient."""
    pace = self._pace_of(variable)
    rate, (beta_1, beta_2) = pace.rate, pace.betas
    key = self._index_dict[self._var_key(variable)]
    moment, square = self._momentums[key], self._velocities[key]
    moment.assign(beta_1 * moment + (1.0 - beta_1) * gradient)
    square.assign(beta_2 * square + (1.0 - beta_2) * tf.square(gradient))
    first = moment / (1.0 - pace.powers[0])
    second = square / (1.0 - pace.powers[1])
    update = first / (tf.sqrt(second) + self.epsilon)
    if self._use_weight_decay(variable):
      update += self.weight_decay * variable
      weight_norm, update_norm = tf.norm(variable), tf.norm(update)
      both = (weight_norm > 0.0) & (update_norm > 0.0)
      rate *= tf.where(
        both, tf.math.divide_no_nan(weight_norm, update_norm), 1.0
      )
    variable.assign_sub(rate * update)
    self._average(variable)


_OPTIMIZERS = {"adamw": AdamW, "lamb": Lamb}


def build_schedule(
  config: OptimizerConfig, *, train_steps: int
) -> tf_keras.optimizers.schedules.LearningRateSchedule:
  """Builds step -> learning rate: a linear warm-up, then the decay.

  As in the tutorial the decay starts at step 0 and the warm-up covers its
  beginning, so the largest rate is where both meet; or the decay starts there.
  """
  peak, end = config.learning_rate, config.end_learning_rate
  steps = warmup_steps(config, train_steps=train_steps)
  begun = steps if config.decay_start == "warmup" else 0
  train_steps = max(1, train_steps - begun)
  if config.schedule == "cosine":
    schedule = tf_keras.optimizers.schedules.CosineDecay(
      peak, train_steps, alpha=end / peak if peak else 0.0
    )
  else:
    schedule = tf_keras.optimizers.schedules.PolynomialDecay(
      peak,
      train_steps,
      end_learning_rate=peak if config.schedule == "constant" else end,
      power=config.decay_power if config.schedule == "polynomial" else 1.0,
    )
  schedule = _Behind(schedule, begun) if begun else schedule
  return lr_schedule.LinearWarmup(schedule, steps, 0.0) if steps else schedule


class _Behind(tf_keras.optimizers.schedules.LearningRateSchedule):
  """A schedule that begins at a later step than 0."""

  def __init__(
    self,
    schedule: tf_keras.optimizers.schedules.LearningRateSchedule,
    begun: int,
  ):
    self._schedule, self._begun = schedule, begun

  def __call__(self, step: tf.Tensor) -> tf.Tensor:
    return self._schedule(tf.maximum(step - self._begun, 0))


def warmup_steps(config: OptimizerConfig, *, train_steps: int) -> int:
  """Returns the step at which the warm-up ends."""
  return config.warmup_steps or int(config.warmup_ratio * train_steps)


def build_optimizer(
  config: OptimizerConfig,
  *,
  train_steps: int,
  layer_depth: Callable[[str], int],
  guard: Guard | None = None,
  averages: Averages | None = None,
) -> AdamW:
  """Builds the optimizer.

  Args:
    config: rates and decays.
    train_steps: the length of the schedule.
    layer_depth: name of a variable -> layers between it and the top.
    guard: says which steps change weights, and which are counted.
    averages: of the variables, in their order.
  """
  optimizer = _OPTIMIZERS[config.type](
    rate_factor=lambda name: config.layer_decay ** layer_depth(name),
    guard=guard,
    averages=averages,
    learning_rate=build_schedule(config, train_steps=train_steps),
    weight_decay=config.weight_decay,
    beta_1=config.beta_1,
    beta_2=config.beta_2,
    epsilon=config.epsilon,
  )
  optimizer.exclude_from_weight_decay(var_names=["bias", "layer_norm"])
  return optimizer

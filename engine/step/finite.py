"""Whether all that training goes on from is finite, in one pass over it."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from engine.step.norms import squares_of


class FiniteCheck:
  """Looks at variables behind the steps, since an update may overflow too.

  A finite gradient can make weights that are not: by a rate, a decay or a
  divisor at the end of float32. The guard of a step looks at what costs
  nothing; this reads each value once, so it is asked where a checkpoint is to
  hold them, and where a step was not taken. Its ops run one by one: to trace a
  program of them would take a second of each start, for passes of milliseconds.
  """

  def __init__(
    self, variables: Sequence[tf.Variable], strategy: tf.distribute.Strategy
  ):
    """Initializes the check.

    Args:
      variables: those of a floating type are looked at.
      strategy: whose replicas hold equal values; the first here is looked at.
    """
    self._variables = [v for v in variables if v.dtype.is_floating]
    self._strategy = strategy
    # A TPU compiles each op that runs by itself.
    compiles = isinstance(strategy, tf.distribute.TPUStrategy)
    self._look = tf.function(self._on_all) if compiles else self._on_first

  def culprit(self) -> str:
    """Returns the name of the first variable that is not finite; "" if none."""
    squares = self._look().numpy()
    for variable, square in zip(self._variables, squares, strict=True):
      # The square of what is finite may overflow: then each value counts.
      if not square < float("inf") and not _is_finite(variable):
        return variable.name
    return ""

  def _on_first(self) -> tf.Tensor:
    local = self._strategy.experimental_local_results
    return _squares([local(v)[0] for v in self._variables])

  def _on_all(self) -> tf.Tensor:
    each = self._strategy.run(lambda: _squares(self._variables))
    return self._strategy.experimental_local_results(each)[0]


def check_losses(losses: np.ndarray, weights: np.ndarray) -> None:
  """Refuses an evaluation by weights that are finite, and too large.

  Args:
    losses: of the examples.
    weights: of the examples; what weighs nothing may be anything.

  Raises:
    FloatingPointError: where a loss is not finite.
  """
  bad = ~np.isfinite(losses) & (weights != 0)
  if count := int(bad.sum()):
    raise FloatingPointError(
      f"In an evaluation the loss of {count:,} of {len(weights):,} examples is "
      "not finite, though the weights are: they are too large. Begin anew in "
      "another --model_dir, with a lower learning_rate or weight_decay; or "
      "take --precision=bfloat16 where it is float16."
    )


def _squares(variables: Sequence[tf.Variable]) -> tf.Tensor:
  return squares_of([tf.cast(v, tf.float32) for v in variables])


def _is_finite(variable: tf.Variable) -> bool:
  value = tf.convert_to_tensor(variable)
  return bool(tf.reduce_all(tf.math.is_finite(value)))

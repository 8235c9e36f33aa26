"""A moving average of the weights, which is what a run then evaluates."""

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf


class Averages(tf.Module):
  """Exponential moving averages, one for each variable.

  Behind step t an average moves by 1 - min(decay, (1 + t) / (10 + t)) towards
  its variable, as `tf.train.ExponentialMovingAverage` does when it is told the
  step: young averages forget the first weights soon.
  """

  def __init__(self, variables: Sequence[tf.Variable], decay: float):
    """Creates the averages; call it in the scope of the strategy.

    Args:
      variables: whose averages they are.
      decay: share of an average that a late step keeps.
    """
    super().__init__(name="averages")
    # A function: what an attribute holds is saved under its name.
    self._variables = lambda: variables
    self._decay = decay
    self.values = [
      tf.Variable(tf.zeros(v.shape), trainable=False, name="average")
      for v in variables
    ]

  def begin(self) -> None:
    """Starts with the first weights."""
    for average, variable in zip(self.values, self._variables(), strict=True):
      average.assign(tf.convert_to_tensor(variable))

  def update(
    self,
    index: int,
    variable: tf.Variable,
    step: tf.Tensor,
    taken: tf.Tensor | bool,
  ) -> None:
    """Moves one average, where its variable is updated.

    Args:
      index: of the variable.
      variable: as this replica has it.
      step: float32 scalar, steps before this one.
      taken: bool scalar, whether the step changes anything.
    """
    decay = tf.minimum(self._decay, (1.0 + step) / (10.0 + step))
    share = tf.where(taken, 1.0 - decay, 0.0)
    average = self.values[index]
    average.assign_add(share * (variable - average))

  @contextlib.contextmanager
  def in_place(self) -> Iterator[None]:
    """Lets the model have the averages for a while; all bits come back."""
    self.exchange()
    try:
      yield
    finally:
      self.exchange()

  def exchange(self) -> None:
    """Exchanges averages and variables."""
    for average, variable in zip(self.values, self._variables(), strict=True):
      kept = tf.identity(tf.convert_to_tensor(variable))
      variable.assign(tf.convert_to_tensor(average))
      average.assign(kept)


def build_averages(
  variables: Sequence[tf.Variable], decay: float
) -> Averages | None:
  """Builds the averages of a run, where it keeps them (`decay` above 0)."""
  return Averages(variables, decay) if decay else None

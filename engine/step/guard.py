"""What becomes of a step whose loss or gradient is not finite."""

from collections.abc import Sequence

import tensorflow as tf

# Codes of `culprit`; gradient i is _GRADIENTS + i.
_FINE, _LOSS, _NORM, _GRADIENTS = 0, 1, -1, 2


class Guard(tf.Module):
  """Keeps what is not finite out of the weights, whatever the precision.

  A step with such a number is not taken: the weights and the moments keep
  their bits. It is tried again (which float16 does with a smaller loss scale,
  and without one changes nothing, so that the host sees it and stops), or, if
  the run skips, it is counted as done.
  """

  def __init__(self, *, skips: bool):
    """Creates the variables; call it in the scope of the strategy.

    Args:
      skips: whether the run goes on behind such a batch.
    """
    super().__init__(name="guard")

    def variable(value, name, dtype=None):
      return tf.Variable(
        value,
        trainable=False,
        name=name,
        dtype=dtype,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
      )

    self.skips = skips
    self.taken = variable(True, "taken")
    self.counted = variable(True, "counted")
    # A variable of int32 is the host's; no program of XLA for a GPU takes it.
    self.culprit = variable(_FINE, "culprit", tf.int64)
    self.skipped = variable(0, "skipped", tf.int64)

  def update(
    self,
    loss: tf.Tensor,
    squares: tf.Tensor,
    may_retry: tf.Tensor | bool,
    empty: tf.Tensor | bool = False,
    turn: tf.Tensor | bool = True,
  ) -> tf.Tensor:
    """Judges a step; all replicas say the same.

    Args:
      loss: float32 scalar, of the global batch.
      squares: float32 [variables], half the sums of squares of the gradients.
      may_retry: bool scalar, whether another try could come out better.
      empty: bool scalar, whether all weights of the global batch are 0.
      turn: bool scalar; a step out of turn is neither taken nor counted, and
        leaves no trace.

    Returns:
      Bool scalar: whether all is finite.
    """
    turn = tf.convert_to_tensor(turn)
    good_loss = tf.math.is_finite(loss)
    # The whole sum too: finite squares may overflow in it.
    good_norm = tf.math.is_finite(2.0 * tf.reduce_sum(squares))
    good = good_norm & good_loss
    # Gradients flow from the last variable to the first. Codes are found as
    # float32, exact to 2**24: a GPU has no kernels of int32 for it.
    codes = tf.range(
      _GRADIENTS, _GRADIENTS + squares.shape[0], dtype=tf.float32
    )
    bad = tf.where(tf.math.is_finite(squares), float(_NORM), codes)
    culprit = tf.where(good_loss, tf.reduce_max(bad), float(_LOSS))
    culprit = tf.cast(tf.where(good, float(_FINE), culprit), tf.int64)
    self.culprit.assign(tf.where(turn, culprit, self.culprit))
    self.taken.assign(good & turn & ~tf.convert_to_tensor(empty))
    counted = good
    if self.skips:
      counted |= ~tf.convert_to_tensor(may_retry)
    counted &= turn
    self.counted.assign(counted)
    self.skipped.assign_add(tf.cast(counted & ~good, tf.int64))
    return good

  def name_of_culprit(self, variables: Sequence[tf.Variable]) -> str:
    """Names the first number of the newest step that is not finite."""
    code = int(self.culprit.numpy())
    name = {_LOSS: "the loss", _NORM: "the norm of the gradient"}.get(code)
    return name or f"the gradient of {variables[code - _GRADIENTS].name}"

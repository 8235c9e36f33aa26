"""Layers that hold weights, made without a call and drawn from a seed."""

from collections.abc import Collection, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from tasks.model.block import BlockWeights


def build_part(part: tf_keras.layers.Layer, input_shape: list | None) -> None:
  """Creates a layer's variables once, under its name, without calling it."""
  if part.built:
    return
  with tf.name_scope(part.name):
    part.build(input_shape)
  part.built = True


def draw(
  variables: Sequence[tf.Variable],
  seed: int,
  *,
  deviation: float,
  kept: Collection[Any] = (),
) -> None:
  """Gives first weights: a function of the seed and of places in the sequence.

  Args:
    variables: biases and shifts become 0, scales 1, the others random.
    seed: below 2**31.
    deviation: of the normal distribution, which is cut at two of them.
    kept: `ref()` of those of the variables that have their weights.
  """
  for i, variable in enumerate(variables):
    if variable.ref() in kept:
      continue
    name = variable.name.rsplit("/", 1)[1]
    if name.startswith(("bias", "beta")):
      value = tf.zeros(variable.shape)
    elif name.startswith("gamma"):
      value = tf.ones(variable.shape)
    else:
      value = tf.random.stateless_truncated_normal(
        variable.shape, [seed, i], stddev=deviation
      )
    variable.assign(value)


class Linear(tf_keras.layers.Layer):
  """Holds kernel and bias of a product."""

  def __init__(self, units: int, *, use_bias: bool = True, **kwargs):
    super().__init__(**kwargs)
    self.units, self._use_bias = units, use_bias

  def build(self, input_shape):
    """Creates kernel and bias, whose first weights come later.

    A bias that is not used is 0 for ever.
    """
    self.kernel = self.add_weight(
      "kernel", [input_shape[-1], self.units], initializer="zeros"
    )
    self.bias = (
      self.add_weight(
        "bias", [self.units], initializer="zeros", experimental_autocast=False
      )
      if self._use_bias
      else tf.zeros([self.units])
    )

  def tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads the weights; call it where the encoder casts variables."""
    return tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)


class LayerNorm(tf_keras.layers.Layer):
  """Holds scale and shift of a layer norm (Ba et al., arXiv 1607.06450)."""

  def __init__(self, *, shifts: bool = True, **kwargs):
    super().__init__(**kwargs)
    self._shifts = shifts

  def build(self, input_shape):
    """Creates scale and shift; one that is not used is 0 for ever."""
    size = input_shape[-1:]
    make = lambda name, value: self.add_weight(
      name, size, initializer=value, experimental_autocast=False
    )
    self.gamma = make("gamma", "ones")
    self.beta = make("beta", "zeros") if self._shifts else tf.zeros(size)

  def tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads scale and shift."""
    return tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)


class Block(tf_keras.layers.Layer):
  """Holds the weights of a block; `tasks.model.block` computes it."""

  def __init__(self, hidden: int, inner: int, **kwargs):
    """Initializes the layer.

    Args:
      hidden: size of what the block takes and gives.
      inner: size between the two products of the feed-forward.
      **kwargs: of the Keras layer.
    """
    super().__init__(**kwargs)
    self.query, self.key, self.value, self.attention_output, self.output_ = (
      Linear(hidden, name=name)
      for name in ("query", "key", "value", "attention_output", "output")
    )
    self.intermediate = Linear(inner, name="intermediate")
    self.attention_norm, self.output_norm = (
      LayerNorm(name=name)
      for name in ("attention_layer_norm", "output_layer_norm")
    )

  def build(self, input_shape):
    """Creates the variables of all parts."""
    inner = [None, self.intermediate.units]
    for part in (self.query, self.key, self.value, self.attention_output):
      build_part(part, input_shape)
    build_part(self.attention_norm, input_shape)
    build_part(self.intermediate, input_shape)
    build_part(self.output_, inner)
    build_part(self.output_norm, input_shape)

  def tensors(self) -> BlockWeights:
    """Reads the weights; call it where the encoder casts variables."""
    return BlockWeights(
      query=self.query.tensors(),
      key=self.key.tensors(),
      value=self.value.tensors(),
      attention_output=self.attention_output.tensors(),
      attention_norm=self.attention_norm.tensors(),
      intermediate=self.intermediate.tensors(),
      output=self.output_.tensors(),
      output_norm=self.output_norm.tensors(),
    )

"""Activations by their names, each as the one op that converters know."""

from collections.abc import Callable, Mapping

import tensorflow as tf


def _gelu_new(x: tf.Tensor) -> tf.Tensor:
  return tf.nn.gelu(x, approximate=True)


# As `tasks.model.fused.bias_activation` names them, and a pooler's own.
ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
  "gelu": tf.nn.gelu,
  "gelu_new": _gelu_new,
  "relu": tf.nn.relu,
  "tanh": tf.tanh,
}

"""Activations by their names, each as the one op that converters know."""

import functools
from collections.abc import Callable, Mapping

import tensorflow as tf

# As `tasks.model.fused.bias_activation` names them, and a pooler's own.
ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
  "gelu": tf.nn.gelu,
  "gelu_new": functools.partial(tf.nn.gelu, approximate=True),
  "relu": tf.nn.relu,
  "tanh": tf.tanh,
}

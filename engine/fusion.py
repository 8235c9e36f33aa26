"""Element-wise work in one pass over memory.

TensorFlow runs an op at a time, and each op of a chain reads and writes all of
its elements. XLA compiles a chain into one loop. On a CPU its matrix products
are slower than oneDNN's, so products stay outside.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from engine.programs import plain


def fused(function: Callable) -> Callable:
  """Compiles a function of tensors into one cluster for each signature.

  Inside a step that XLA compiles as a whole it becomes a part of that.
  Arguments that are no tensors are constants of the compilation.

  An output that is computed from another output is computed twice: clusters
  that share much are better split.
  """
  compiled = tf.function(plain(function), jit_compile=True)
  return functools.wraps(function)(lambda *args: compiled(*args))

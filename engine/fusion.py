"""Element-wise work in one pass over memory.

TensorFlow runs an op at a time, and each op of a chain reads and writes all of
its elements. XLA compiles a chain into one loop. On a CPU its matrix products
are slower than oneDNN's, so products stay outside.
"""

import functools
import os
from collections.abc import Callable, Sequence

import tensorflow as tf


def fused(
  function: Callable, signature: Sequence[tf.TensorSpec] | None = None
) -> Callable:
  """Compiles a function of tensors into one cluster for each signature.

  Inside a step that XLA compiles as a whole it becomes a part of that.
  Arguments that are no tensors are constants of the compilation.

  An output that is computed from another output is computed twice: clusters
  that share much are better split.

  Args:
    function: of tensors.
    signature: of its arguments, where one trace serves for several shapes; the
      caller then says of what static shape the results are.
  """
  compiled = tf.function(
    plain(function), input_signature=signature, jit_compile=True
  )

  @functools.wraps(function)
  def call(*args):
    _hush()
    return compiled(*args)

  return call


@functools.cache
def _hush() -> None:
  """Lets XLA say that it compiles, which it does once, to nobody.

  No log level reaches that line: absl writes all that comes before its set-up
  to standard error.
  """
  kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 2)
  try:
    with tf.init_scope(), tf.device("CPU:0"):
      tf.function(tf.negative, jit_compile=True)(tf.constant(1.0))
  finally:
    os.dup2(kept, 2)
    os.close(kept)
    os.close(nowhere)


def plain(step: Callable) -> Callable:
  """Exempts a step from AutoGraph: it has no Python control flow on tensors.

  Converting it, with all that it calls, would double the time of tracing.
  """
  return tf.autograph.experimental.do_not_convert(step)

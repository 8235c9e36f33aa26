"""In which type a model multiplies. Its variables are float32 always."""

import contextlib
from collections.abc import Iterator

import tf_keras

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@contextlib.contextmanager
def precision_scope(precision: str) -> Iterator[None]:
  """Models that are built in this scope compute in `precision`.

  Losses, metrics, softmax and the statistics of layer norms ask for float32
  themselves; the optimizer sees float32 gradients of float32 variables.
  """
  before = tf_keras.mixed_precision.global_policy()
  tf_keras.mixed_precision.set_global_policy(_POLICIES[precision])
  try:
    yield
  finally:
    tf_keras.mixed_precision.set_global_policy(before)

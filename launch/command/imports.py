"""The imports of a door that take seconds."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def slow_imports() -> Iterator[None]:
  """Spares Python's collector what libraries make.

  TensorFlow's modules, and ours, are some 500,000 objects that stay. The
  collector goes through them several times while they come, and again at each
  full collection behind them (docs/performance.md has what that costs).
  """
  rests = not gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    gc.freeze()
    if not rests:
      gc.enable()

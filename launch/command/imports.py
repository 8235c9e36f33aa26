"""The imports of a door that take seconds."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def slow_imports() -> Iterator[None]:
  """Spares Python's collector what libraries make.

  TensorFlow's modules are a million objects that stay. The collector goes
  through them several times while they come, and again at each full collection
  behind them: a fifth of the seconds of a short command.
  """
  rests = not gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    gc.freeze()
    if not rests:
      gc.enable()

"""Which signals tell a process to stop."""

import contextlib
import signal
from collections.abc import Iterator

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@contextlib.contextmanager
def collected() -> Iterator[list[int]]:
  """Gives a list that gets the number of each one that comes in the block.

  For the main thread, where it does little else: Python's handlers run there.
  """
  numbers: list[int] = []
  before = {
    number: signal.signal(number, lambda n, _: numbers.append(n))
    for number in STOPS
  }
  try:
    yield numbers
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def name_of(number: int) -> str:
  """Names a signal in a message."""
  try:
    return signal.Signals(number).name
  except ValueError:
    return f"signal {number}"

"""What the host prepares while the device works."""

import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
  """Makes the values of steps in a thread beside, before they are asked for.

  Each value is a function of its step, so there is nothing to save, and what a
  rewind drops is made again. A failure arrives with the step that it belongs
  to.
  """

  def __init__(self, make: Callable[[int], T]):
    """Initializes it; the thread starts with the first wish.

    Args:
      make: step -> value; called by one thread at a time.
    """
    self._make = make
    self._found: dict[int, concurrent.futures.Future[T]] = {}
    self._thread: concurrent.futures.ThreadPoolExecutor | None = None

  def __getitem__(self, step: int) -> T:
    """Returns the value of a step, as soon as it is there.

    Raises:
      Exception: what its making raised.
    """
    return self._wish(step).result()

  def keep(self, steps: Iterable[int]) -> None:
    """Drops all but some steps, and begins with those that are not there."""
    wanted = dict.fromkeys(steps)
    for step in [s for s in self._found if s not in wanted]:
      self._found.pop(step).cancel()
    for step in wanted:
      self._wish(step)

  def _wish(self, step: int) -> "concurrent.futures.Future[T]":
    if step not in self._found:
      if self._thread is None:
        self._thread = concurrent.futures.ThreadPoolExecutor(
          1, thread_name_prefix="input"
        )
      self._found[step] = self._thread.submit(self._make, step)
    return self._found[step]

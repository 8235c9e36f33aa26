"""One compiled program for each declared shape, and a count of the traces."""

import concurrent.futures
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.eager import context, executor

from engine.measure.ledger import Ledger

Shape = tuple[int, ...]


class Programs:
  """Compiles a function once for each shape that occurs."""

  def __init__(self, build: Callable[[Shape], Callable], ledger: Ledger):
    """Initializes the programs.

    Args:
      build: shape -> the Python function of that shape's program.
      ledger: where the seconds of the first call of each program go.
    """
    self._build = build
    self._ledger = ledger
    self._programs: dict[Shape, Callable] = {}
    self.traces = 0

  def __contains__(self, shape: Shape) -> bool:
    return shape in self._programs

  def __call__(self, shape: Shape, *args) -> Any:
    """Runs the program of `shape`; the first call traces and compiles it.

    The first call returns once it has run, others within `dispatching` before.

    Raises:
      RuntimeError: where a call traces a program again.
    """
    if shape in self._programs:
      outputs = self._programs[shape](*args)
    else:
      with self._ledger.time("compile"), dispatching(ahead=False):
        self._programs[shape] = self._compile(shape)
        outputs = self._programs[shape](*args)
    if self.traces > len(self._programs):
      raise RuntimeError(f"The program of shape {shape} was traced again.")
    return outputs

  def _compile(self, shape: Shape) -> Callable:
    function = self._build(shape)

    def counted(*args):
      self.traces += 1  # Runs only while TensorFlow traces.
      return function(*args)

    return tf.function(counted)


@contextlib.contextmanager
def dispatching(*, ahead: bool) -> Iterator[None]:
  """Says whether this thread's calls return before they have run.

  Ahead, TensorFlow keeps what the thread gives it in a queue, programs, reads
  of variables and collectives alike, and runs it in that order. So a device
  has its next program while the host reads the numbers of the one before, and
  who reads a variable sees it behind all that was given until then. The block
  ends once all of it has run.

  Args:
    ahead: whether they do.

  Raises:
    tf.errors.OpError: at the end, what failed in the queue.
  """
  here = context.context()
  before = here.executor
  before.wait()
  here.executor = _executor(ahead)
  try:
    try:
      yield
    finally:
      _executor(ahead).wait()
  except tf.errors.OpError:
    tf.experimental.async_clear_error()  # What failed keeps the queue shut.
    raise
  finally:
    here.executor = before


class Arrival(NamedTuple):
  """What a program has told, and when.

  Attributes:
    value: of its tensors, in their structure.
    seconds: of a steady clock of the host, once it was there.
  """

  value: Any
  seconds: float


def arrival(tensors: Any) -> "concurrent.futures.Future[Arrival]":
  """Waits for tensors in a thread beside, which sees when they come.

  A clock in the program itself would be a call from the device to the host in
  each step, for which an accelerator waits.
  """

  def waited() -> Arrival:
    value = tf.nest.map_structure(lambda x: x.numpy(), tensors)
    return Arrival(value, time.monotonic())

  return _waiting().submit(waited)


@functools.cache
def _waiting() -> concurrent.futures.ThreadPoolExecutor:
  return concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="told")


@functools.cache
def _executor(ahead: bool) -> executor.Executor:
  """Returns the one queue of its kind, which nothing deletes.

  `tf.config.experimental.set_synchronous_execution` makes one at each call and
  deletes it at the next, while the thread that writes a checkpoint may just be
  waiting for all queues there are: the process crashes.
  """
  return executor.new_executor(enable_async=ahead)

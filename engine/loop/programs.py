"""One compiled program for each declared shape, and a count of the traces."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

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

    Raises:
      RuntimeError: where a call traces a program again.
    """
    if shape in self._programs:
      outputs = self._programs[shape](*args)
    else:
      with self._ledger.time("compile"):
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

"""Processes that end with the one that started them."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2  # Of <linux/prctl.h>.


def ends_with(parent: int, number: int = signal.SIGTERM) -> Callable[[], None]:
  """Returns what makes the process that calls it end with its parent.

  It may be called between fork and exec: the one function of the system that
  it calls was looked up before, so it takes no lock that a thread of the parent
  might have held.

  Args:
    parent: the process; what counts is the thread of it that starts the other.
    number: the signal that the other one then gets.
  """
  linux = sys.platform.startswith("linux")
  prctl = ctypes.CDLL(None).prctl if linux else lambda *_: None

  def prepare():
    prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # It has ended before.
      os._exit(os.EX_TEMPFAIL)

  return prepare


def ends_with_parent() -> int:
  """Returns the parent that this process ends with; 0 if it outlives it."""
  number = ctypes.c_int(0)
  if sys.platform.startswith("linux"):
    ctypes.CDLL(None).prctl(_PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
  return os.getppid() if number.value else 0

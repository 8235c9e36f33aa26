"""Each declared shape is traced once; what traces again stops the run."""

import concurrent.futures
import time

import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from engine.loop.programs import Programs, arrival, dispatching
from engine.measure.ledger import Ledger


def test_a_shape_is_traced_once_however_often_it_runs():
  programs = Programs(lambda shape: lambda x: x + shape[0], Ledger())
  for _ in range(3):
    for shape in ((1,), (2, 4)):
      result = programs(shape, tf.constant(1.0))
      assert float(result) == 1 + shape[0]
  assert programs.traces == 2
  assert (2, 4) in programs and (3,) not in programs


def test_a_retrace_stops_with_the_shape():
  programs = Programs(lambda shape: lambda x: x, Ledger())
  programs((2, 4), tf.zeros([2]))
  with pytest.raises(RuntimeError, match=r"shape \(2, 4\) was traced again"):
    programs((2, 4), tf.zeros([3]))


def test_the_first_call_is_booked_as_compilation():
  now = [0.0]

  def build(shape):
    del shape

    def function(x):
      now[0] += 5.0  # While TensorFlow traces.
      return x

    return function

  ledger = Ledger(clock=lambda: now[0])
  programs = Programs(build, ledger)
  for _ in range(2):
    programs((1,), tf.constant(1.0))
  assert ledger.totals()["compile"] == 5.0


def test_a_thread_that_waits_for_all_queues_harms_none():
  """As one that writes a checkpoint does; a deleted queue is a crash."""
  count = tf.Variable(0)
  add = tf.function(lambda: count.assign_add(1))
  stopped = False

  def wait():
    while not stopped:
      context.async_wait()

  with concurrent.futures.ThreadPoolExecutor(1) as beside:
    waiting = beside.submit(wait)
    for _ in range(2_000):
      with dispatching(ahead=True):
        for _ in range(3):
          add()
    stopped = True
    waiting.result()
  assert int(count.numpy()) == 6_000


def test_what_a_program_tells_comes_with_its_time_or_with_its_failure():
  with dispatching(ahead=True):
    told = [arrival(tf.constant(x) + 1.0) for x in (1.0, 2.0)]
    (one, first), (two, second) = (x.result() for x in told)
  assert (float(one), float(two)) == (2.0, 3.0)
  assert first <= second <= time.monotonic()
  with pytest.raises(tf.errors.InvalidArgumentError):  # noqa: SIM117
    with dispatching(ahead=True):
      arrival(tf.debugging.check_numerics(float("nan"), "it")).result()

"""One worker reads a checkpoint; the others get its bits, or stop."""

import contextlib
import types

import numpy as np
import pytest
import tensorflow as tf

from engine.errors import UserError
from engine.run import shared_restore


class Network:
  """Two workers, one after the other: what the chief sent comes to the other.

  `damage` changes what arrives.
  """

  def __init__(self, monkeypatch, damage=lambda words: words):
    self.sent, self.damage, self.worker = [], damage, 0
    for name in ("gather", "_summed", "is_chief"):
      monkeypatch.setattr(shared_restore, name, getattr(self, name))

  def is_chief(self, strategy):
    return self.worker == 0

  def _first(self, own):
    if self.worker == 0:
      self.sent.append(own.copy())
      return own
    return self.sent.pop(0)

  def gather(self, strategy, own):
    return np.stack([self._first(own), own])

  def _summed(self, strategy, own):
    assert self.worker == 0 or not own.any()  # Others add zeros.
    return self.damage(self._first(own) + (own if self.worker else 0))

  def give(self, chief, other):
    strategy = types.SimpleNamespace(
      experimental_local_results=lambda variable: (variable,)
    )
    for self.worker, variables in enumerate((chief, other)):
      shared_restore.broadcast(strategy, variables)


def variables(fill):
  return [
    tf.Variable(np.full([3, 5], fill, np.float32)),
    tf.Variable(np.int64(7 * fill)),
    tf.Variable(fill > 1.0),
    tf.Variable(np.full([11], fill, np.float32)),
  ]


@pytest.mark.parametrize("pack", [1, 2**26], ids=["one by one", "together"])
def test_all_bits_arrive_signs_of_zero_and_nan_too(monkeypatch, pack):
  monkeypatch.setattr(shared_restore, "_PACK", pack)
  chief, other = variables(2.0), variables(1.0)
  odd = np.array([-0.0, np.nan, np.inf, 1e-45, 3.0] * 3, np.float32)
  chief[0].assign(odd.reshape([3, 5]))
  Network(monkeypatch).give(chief, other)
  for mine, got in zip(chief, other, strict=True):
    assert mine.numpy().tobytes() == got.numpy().tobytes()


def test_a_worker_that_got_other_bits_stops(monkeypatch):
  def flip(words):
    words = words.copy()
    words.view(np.uint8)[5] ^= 1
    return words

  network = Network(monkeypatch, flip)
  with pytest.raises(UserError, match="got other weights than the chief"):
    network.give(variables(2.0), variables(1.0))
  assert network.worker == 1


def test_the_chief_alone_looks_for_a_checkpoint_and_reads_it(monkeypatch):
  """Each worker's manager has a variable, and counts who reads by it."""
  network = Network(monkeypatch)
  alone = lambda strategy: contextlib.nullcontext()
  monkeypatch.setattr(shared_restore, "workers_of", lambda _: ["a:1", "b:1"])
  monkeypatch.setattr(shared_restore, "together", alone)
  job = types.SimpleNamespace(
    config=None,
    strategy=types.SimpleNamespace(
      experimental_local_results=lambda variable: (variable,)
    ),
  )
  read, found = [], []

  class Manager:
    def __init__(self):
      self.variable = tf.Variable(0.0)
      self.checkpoint = tf.train.Checkpoint(x=self.variable)

    def begin(self, initialize, **_):
      read.append(network.worker)
      self.variable.assign(7.0)
      self.newest = "checkpoints/ckpt-12"
      return self.newest

    def follow(self, step):
      self.newest = f"checkpoints/ckpt-{step}"

    def restore_or_initialize(self):
      return self.newest

  for network.worker in range(2):
    manager = Manager()
    begun = shared_restore.begin(job, manager, lambda: None, ())
    found.append((begun, float(manager.variable)))
  assert read == [0]
  assert found == [("checkpoints/ckpt-12", 7.0)] * 2


def test_a_worker_with_other_variables_stops(monkeypatch):
  with pytest.raises(UserError, match="other variables than the chief"):
    Network(monkeypatch).give(variables(2.0), variables(1.0)[:3])


def test_all_of_a_checkpoint_is_found_once_in_one_order():
  shared = tf.Variable(1.0)

  def checkpoint():
    module = tf.Module()
    module.a, module.b = [tf.Variable(2.0), shared], {"x": tf.Variable(3)}
    return tf.train.Checkpoint(module=module, again=shared)

  one, other = (
    [x.numpy() for x in shared_restore.variables_of(checkpoint())]
    for _ in range(2)
  )
  assert one == other and len(one) == len(set(one))
  assert {1.0, 2.0, 3} <= set(one)

"""What comes next is made beside, and belongs to its step."""

import threading

import pytest

from engine.errors import UserError
from engine.loop.ahead import Ahead


class Maker:
  """Notes which values it was asked to make, and in which thread."""

  def __init__(self, fails=()):
    self.made, self.threads, self._fails = [], set(), fails

  def __call__(self, step):
    self.made.append(step)
    self.threads.add(threading.current_thread())
    if step in self._fails:
      raise UserError(f"no step {step}")
    return 10 * step


def test_values_are_made_before_they_are_asked_for():
  maker, done = Maker(), threading.Event()
  ahead = Ahead(lambda step: maker(step) if step < 4 else done.set())
  ahead.keep(range(5))
  assert done.wait(60)  # Nobody has asked for any of them.
  assert maker.made == [0, 1, 2, 3]
  assert [ahead[step] for step in range(4)] == [0, 10, 20, 30]
  assert maker.made == [0, 1, 2, 3]
  assert threading.current_thread() not in maker.threads


def test_what_a_rewind_drops_is_made_again_and_is_the_same():
  maker = Maker()
  ahead = Ahead(maker)
  ahead.keep(range(3))
  first = [ahead[step] for step in range(3)]
  ahead.keep(range(8, 9))
  assert ahead[8] == 80
  ahead.keep(range(3))
  assert [ahead[step] for step in range(3)] == first
  assert maker.made == [0, 1, 2, 8, 0, 1, 2]


def test_a_failure_arrives_with_its_step():
  ahead = Ahead(Maker(fails=[1]))
  ahead.keep(range(3))
  assert ahead[0] == 0
  assert ahead[2] == 20
  with pytest.raises(UserError, match="no step 1"):
    ahead[1]

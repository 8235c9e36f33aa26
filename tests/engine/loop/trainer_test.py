"""The host gives steps ahead, and looks where it says."""

import numpy as np
import pytest
import tensorflow as tf

from engine.errors import StopRequested, UserError
from engine.loop.boundary import Boundary
from engine.measure.ledger import Ledger
from engine.run.builder import Builder
from engine.source import ArraySource
from tests.support.testing import LineTask, strategy_of, tiny_config

STEPS = 12


class Looks(Boundary):
  """A boundary that notes what happens, and lets loops be `most` steps long."""

  signals = np.zeros([0, 2], np.float32)
  told = False

  def __init__(self, most, stops_at=99):
    self.most, self.stops_at, self.events = most, stops_at, []

  def hear(self, signals):
    assert signals.shape == (0, 2)

  def check(self, step=None, *, asks=False):
    self.events.append(("look", step))
    if step >= self.stops_at:
      raise StopRequested("SIGTERM")

  def limit(self, steps):
    return min(steps, self.most)

  def measured(self, steps, seconds):
    assert (steps, seconds > 0) == (1, True)

  def of(self, kind):
    return [step for name, step in self.events if name == kind]


def trainer_with(looks, task=None, ledger=None, **runtime):
  """A trainer; the boundary notes its fetches and log points too."""
  task = task or LineTask()
  config = tiny_config(
    train={"global_batch_size": 8, "train_steps": STEPS}, runtime=runtime
  )
  builder = Builder(
    config=config,
    task=task,
    strategy=strategy_of(1),
    ledger=ledger or Ledger(),
    boundary=looks,
  )
  model, trainer, _ = builder.parts(task.source("train"))
  task.initialize(model, seed=0)
  fetch = trainer.inputs.fetch

  def noted(step):
    looks.events.append(("fetch", step))
    return fetch(step)

  trainer.inputs.fetch = noted
  trainer.log_points = [
    lambda step, scalars: looks.events.append(("log", step))
  ]
  return trainer


def train(trainer, steps=STEPS):
  trainer.train(tf.constant(steps))


def test_the_device_has_the_next_steps_before_a_log_point_is_written():
  looks = Looks(most=4)
  train(trainer_with(looks, steps_per_loop=4, log_interval=1))
  assert looks.of("log") == list(range(1, STEPS + 1))
  # The first step compiles. Then four wait behind the one that runs.
  for step in range(2, STEPS - 4):
    given = looks.events[: looks.events.index(("log", step))]
    assert max(s for kind, s in given if kind == "fetch") == step + 3
  assert looks.of("fetch") == list(range(STEPS))


def test_a_grace_that_allows_no_loop_lets_nothing_be_given_ahead():
  looks = Looks(most=0)
  train(trainer_with(looks, steps_per_loop=4, log_interval=1), steps=4)
  each = [[("look", k), ("fetch", k), ("log", k + 1)] for k in range(4)]
  assert looks.events == sum(each, [])


@pytest.mark.parametrize(
  ("loop", "log", "looks_at", "logs_at"),
  [
    (4, 0, 3, [4, 8, 12]),
    (4, 5, 3, [5, 10, 12]),
    (5, 1, 3, list(range(1, 13))),
    (1, 0, 12, list(range(1, 13))),
  ],
)
def test_looks_and_log_points_are_apart(loop, log, looks_at, logs_at):
  looks = Looks(most=99)
  train(trainer_with(looks, steps_per_loop=loop, log_interval=log))
  assert len(looks.of("look")) == looks_at
  assert looks.of("log") == logs_at


def test_a_stop_comes_behind_all_steps_that_were_given():
  looks = Looks(most=4, stops_at=3)
  trainer = trainer_with(looks, steps_per_loop=4, log_interval=1)
  with pytest.raises(StopRequested, match="SIGTERM"):
    train(trainer)
  reached = int(trainer.global_step.numpy())
  assert reached == 8 == looks.of("log")[-1]  # Of two loops.
  assert looks.of("fetch") == list(range(reached))


def test_a_batch_that_cannot_be_made_is_told_with_its_step():
  class Broken(ArraySource):
    bad = -1  # Example.

    def batch(self, indices, layout, block=slice(None)):
      if self.bad in indices:
        raise UserError(f"row {self.bad} cannot be read: mend it.")
      return super().batch(indices, layout, block)

  class BrokenTask(LineTask):
    def source(self, split):
      source = super().source(split)
      source.__class__ = Broken
      return source

  looks = Looks(most=4)
  trainer = trainer_with(looks, BrokenTask(), steps_per_loop=4, log_interval=1)
  trainer.inputs.source.bad = trainer.inputs.order.indices(4)[0]
  with pytest.raises(UserError, match=r"^row \d+ cannot be read: mend it.$"):
    train(trainer)
  assert looks.of("log") == [1, 2, 3, 4]
  assert int(trainer.global_step.numpy()) == 4
  assert tf.config.experimental.get_synchronous_execution()


def test_the_ledger_books_what_the_device_waited_for():
  """Steps are what the device says; the wait for what came late is input."""
  ledger = Ledger()
  looks = Looks(most=4)
  trainer = trainer_with(looks, ledger=ledger, steps_per_loop=4)
  train(trainer, steps=4)
  before, work = ledger.totals(), trainer.work.seconds
  train(trainer, steps=8)
  booked = {k: v - before[k] for k, v in ledger.totals().items()}
  assert booked["compile"] == booked["evaluation"] == 0
  assert booked["input_wait"] > 0  # The first batch of a loop.
  assert trainer.work.steps == STEPS - 1
  # Up to what it takes to give the first and to read the last.
  assert 0 < trainer.work.seconds - work <= booked["step"] + 1e-3

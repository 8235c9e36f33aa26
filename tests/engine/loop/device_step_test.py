"""A step does nothing unless the global step is the one it was made for."""

import numpy as np
import pytest
import tensorflow as tf

from engine.loop.device_step import Numbers
from engine.loop.programs import dispatching
from engine.measure.ledger import Ledger
from engine.run.builder import Builder
from engine.step.program_cost import Xla
from tests.support.testing import LineTask, strategy_of, tiny_config


@pytest.fixture(
  params=[
    (1, Xla()),
    (2, Xla()),
    (1, Xla(step=True)),
    (2, Xla(gradient=True, update=True)),
  ],
  ids=["1 replica", "2 replicas", "whole by XLA", "2 replicas, XLA"],
  scope="module",
)
def trainer(request):
  """Its program is compiled, and its first step is done."""
  replicas, xla = request.param
  strategy, task = strategy_of(replicas), LineTask(dropout=0.25)
  config = tiny_config(
    train={
      "global_batch_size": 8,
      "train_steps": 99,
      "precision": "float16" if any(xla) else "float32",
    },
    optimizer={"average_decay": 0.9},
  )
  builder = Builder(
    config=config, task=task, strategy=strategy, ledger=Ledger()
  )
  builder.xla = xla
  model, trainer, _ = builder.parts(task.source("train"))
  task.initialize(model, seed=0)
  give(trainer, 0)
  return trainer


def give(trainer, step, *, closes=False):
  batch, arrays = trainer.inputs.fetch(step)
  numbers, _ = trainer.programs(
    batch.layout.shape,
    arrays,
    tf.constant(step, tf.int64),
    tf.constant(closes),
    tf.zeros([0, 2]),
  )
  return numbers


def read(numbers):
  return Numbers(*numbers.numpy().tolist())


def state(trainer):
  model = trainer.replica_step.model
  variables = [
    *model.variables,
    *trainer.optimizer.variables,
    *trainer.window.variables,
    trainer.guard.culprit,  # The others speak of the newest step.
    trainer.guard.skipped,
    *trainer.averages.values,
    *(trainer.loss_scale.variables if trainer.loss_scale else ()),
  ]
  return [np.array(variable.numpy()) for variable in variables]


def test_a_step_out_of_turn_changes_no_bit(trainer):
  now = int(trainer.global_step.numpy())
  before = state(trainer)
  for step in (now - 1, now + 1, now + 7):
    numbers = read(give(trainer, step, closes=True))
    assert not numbers.ran and not numbers.counted
  for one, other in zip(before, state(trainer), strict=True):
    np.testing.assert_array_equal(one, other)
  assert read(give(trainer, now)).counted
  assert int(trainer.global_step.numpy()) == now + 1


def test_a_window_closes_behind_its_numbers(trainer):
  now = int(trainer.global_step.numpy())
  read(give(trainer, now, closes=True))
  first = read(give(trainer, now + 1))
  assert (first.taken, first.loss > 0) == (1, True)
  both = read(give(trainer, now + 2, closes=True))
  assert both.taken == 2 and both.loss > first.loss
  assert int(trainer.window.taken.numpy()) == 0
  assert float(trainer.window.loss.numpy()) == 0.0


def test_steps_are_given_before_the_numbers_of_others_are_read(trainer):
  """Each tells what was when it had run, whatever was given behind it."""
  now = int(trainer.global_step.numpy())
  with dispatching(ahead=True):
    given = [give(trainer, now + i, closes=i == 0) for i in range(5)]
    given.append(give(trainer, now + 9))
    given.append(give(trainer, now + 5))
  numbers = list(map(read, given))
  assert [x.counted for x in numbers] == [1, 1, 1, 1, 1, 0, 1]
  assert [x.taken for x in numbers[1:]] == [1, 2, 3, 4, 4, 5]
  assert int(trainer.global_step.numpy()) == now + 6

"""What a program costs, and what XLA compiles, follows from the devices."""

import pytest
import tensorflow as tf

from engine.step.program_cost import COSTS, Xla, program_cost, xla_for
from tests.support.testing import strategy_of


def test_the_devices_say_which_kind_they_are():
  strategy = tf.distribute.OneDeviceStrategy("CPU:0")
  assert program_cost("auto", strategy) == COSTS["CPU"]


@pytest.mark.parametrize("kind", ["cpu", "gpu", "tpu"])
def test_a_kind_can_be_named(kind):
  strategy = tf.distribute.OneDeviceStrategy("CPU:0")
  assert program_cost(kind, strategy) == COSTS[kind.upper()]


def test_fixed_shapes_have_no_cost():
  strategy = tf.distribute.OneDeviceStrategy("CPU:0")
  assert program_cost("fixed", strategy) == 0.0


@pytest.mark.parametrize(
  ("kind", "wanted", "apart", "expected"),
  [
    ("CPU", None, False, Xla()),
    ("CPU", True, False, Xla(gradient=True)),
    ("GPU", None, False, Xla(step=True, evaluation=True)),
    ("GPU", None, True, Xla(gradient=True, update=True, evaluation=True)),
    ("GPU", False, False, Xla()),
    ("TPU", None, False, Xla()),
  ],
)
def test_gpus_get_whole_steps_unless_they_are_told(
  monkeypatch, kind, wanted, apart, expected
):
  monkeypatch.setattr("engine.step.program_cost.kind_of", lambda _: kind)
  strategy = tf.distribute.OneDeviceStrategy("CPU:0")
  found = xla_for(wanted, strategy, apart=apart)
  assert found == expected
  assert bool(str(found)) == any(expected)


def test_several_gpus_add_up_outside_of_the_program(monkeypatch):
  monkeypatch.setattr("engine.step.program_cost.kind_of", lambda _: "GPU")
  strategy = strategy_of(2)
  found = xla_for(None, strategy, apart=False)
  assert found == Xla(gradient=True, update=True, evaluation=True)
  assert str(found) == "XLA compiles loss, gradient and update, and evaluation"

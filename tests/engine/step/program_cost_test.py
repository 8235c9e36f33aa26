"""What a program costs follows from the kind of the devices."""

import pytest
import tensorflow as tf

from engine.step.program_cost import COSTS, program_cost


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

"""What compiling a program costs, declared for each kind of device.

It says how many static shapes pay. It is never measured: shapes decide in which
order sums are added, and a run that resumes must have those that it had.
"""

import tensorflow as tf

# Floating-point operations of training that a device could do meanwhile: on
# CPUs 6 s at 250 GFLOP/s (2 cores of a Zen 4, bfloat16), on GPUs 30 s at 40 %
# of an H100's peak, on TPUs 30 s at half of a v5e's.
COSTS = {"CPU": 1.5e12, "GPU": 1.2e16, "TPU": 3e15}


def program_cost(shapes: str, strategy: tf.distribute.Strategy) -> float:
  """Returns what a program costs; 0: shapes are not to be chosen by it.

  Args:
    shapes: the setting: "auto", "fixed", or a kind of device.
    strategy: whose devices "auto" stands for.
  """
  if shapes == "auto":
    device = strategy.extended.worker_devices[0]
    shapes = tf.DeviceSpec.from_string(device).device_type
  return COSTS.get(shapes.upper(), 0.0)

"""What compiling costs, and what XLA compiles, for each kind of device.

Costs say how many static shapes pay. They are declared, never measured: shapes
decide in which order sums are added, and a run that resumes must have those
that it had.
"""

from typing import NamedTuple

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
    shapes = kind_of(strategy)
  return COSTS.get(shapes.upper(), 0.0)


def kind_of(strategy: tf.distribute.Strategy) -> str:
  """Returns the kind of the devices: CPU, GPU or TPU."""
  device = strategy.extended.worker_devices[0]
  return tf.DeviceSpec.from_string(device).device_type


class Xla(NamedTuple):
  """What XLA compiles, each as one program of a replica.

  Attributes:
    step: all of a training step.
    gradient: of it, loss and gradient only.
    update: of it, what is behind the sum over replicas: clipping, optimizer.
    evaluation: the forward pass of an evaluation.
  """

  step: bool = False
  gradient: bool = False
  update: bool = False
  evaluation: bool = False

  def __str__(self) -> str:
    if not any(self):
      return ""
    parts = "loss, gradient and update" if self.update else "loss and gradient"
    parts = "steps" if self.step else parts
    return f"XLA compiles {parts}" + ", and evaluation" * self.evaluation


def xla_for(
  wanted: bool | None, strategy: tf.distribute.Strategy, *, apart: bool
) -> Xla:
  """Chooses what XLA compiles.

  GPUs wait for nobody between the ops of a program, and a step of BERT-base is
  thousands of them; there are no tensors of the host in it, either. On a CPU
  the products of oneDNN are faster than those of XLA, so it is asked for, and
  gets no more than loss and gradient. A TPU's programs are XLA's anyway.

  Args:
    wanted: the setting; None: the devices say.
    strategy: whose devices compute. Several add up outside of the program.
    apart: whether parts of a batch must be programs of their own.
  """
  on_gpu = kind_of(strategy) == "GPU"
  if not (on_gpu if wanted is None else wanted):
    return Xla()
  whole = on_gpu and strategy.num_replicas_in_sync == 1 and not apart
  return Xla(
    step=whole,
    gradient=not whole,
    update=on_gpu and not whole,
    evaluation=on_gpu,
  )

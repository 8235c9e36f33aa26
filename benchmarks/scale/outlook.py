"""What follows for accelerators that are not here: predicted, not measured.

Work is BERT-base's on pairs of 53 tokens, at a share of the published peak that
such models reach; the optimizer reads and writes 28 bytes a weight from the
published memory; an all-reduce of float32 gradients is the ring of `cost_model`
and hides behind nothing. Links are those that makers publish, in one direction;
a message takes 5 us, so a ring of hundreds is slower than the trees that
libraries take there.
"""

import dataclasses

import numpy as np

from benchmarks.scale.cost_model import (
  Compute,
  Link,
  Prediction,
  Together,
  predict,
  riding,
  voting,
)
from engine.measure.hardware import TPUS, gpu_peak
from tasks.model.flops import training_flops

_WEIGHTS = 109.5e6
_PAIR = 53  # Tokens.
_LATENCY = 5e-6  # Seconds.
_STORE = 5e9  # Bytes a second that a shared store gives all readers together.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
  """Hosts of some accelerators each.

  Attributes:
    name: of an accelerator.
    flops: a second, that a step reaches.
    memory: bytes a second.
    of_host: accelerators of one.
    inside: bytes a second of an accelerator's links within a host,
    between: and of all links of a host to others: rings share them.
  """

  name: str
  flops: float
  memory: float
  of_host: int
  inside: float
  between: float

  def step(self, replicas: int, examples: float) -> Prediction:
    """Predicts a step of so many replicas with so many examples each."""
    pair = training_flops(
      hidden=768, inner=3072, layers=12, lengths=np.array([_PAIR]), classes=2
    )
    compute = Compute(
      fixed=28 * _WEIGHTS / self.memory,
      per_example=float(pair.model.sum()) / self.flops,
    )
    alone = replicas <= self.of_host
    return predict(
      compute,
      Link(latency=_LATENCY, bandwidth=self.inside if alone else self.between),
      replicas=replicas,
      examples=examples,
      size=4 * _WEIGHTS,
    )


MACHINES = (
  Machine(
    name="H100",
    flops=0.4 * (gpu_peak("H100 80GB HBM3", "bfloat16", tf32=False) or 0),
    memory=3.35e12,
    of_host=8,
    inside=450e9,
    between=8 * 50e9,  # A link of 400 Gbit/s for each.
  ),
  Machine(
    name="v5e",
    flops=0.5 * TPUS["v5e"].flops,
    memory=TPUS["v5e"].bandwidth,
    of_host=8,
    inside=100e9,
    between=100e9,  # A torus: the same links.
  ),
)


def told(replicas: int, examples: float, input_seconds: float) -> list[str]:
  """Returns lines that hold an input against predicted steps.

  Args:
    replicas: how many.
    examples: of each.
    input_seconds: of a worker, for a step.
  """
  lines = []
  for machine in MACHINES:
    step = machine.step(replicas, examples)
    alone = step.step * (1 - step.reduce_share)
    lines.append(
      f"{replicas} x {machine.name}, predicted: a step of "
      f"{1e3 * alone:.1f} ms, {1e3 * step.step:.1f} with an all-reduce behind "
      f"it; the input measured here takes {input_seconds / alone:.0%} of the "
      "former"
    )
  return lines


def together(workers: int) -> tuple[Together, Together]:
  """What workers with a link of 50 GB/s each do beside sums: before, and now.

  A checkpoint holds the weights and two moments.
  """
  link = Link(latency=_LATENCY, bandwidth=50e9)
  size = 3 * 4 * _WEIGHTS
  return (
    voting(link, workers=workers, size=size, store=_STORE),
    riding(link, workers=workers, size=size, store=_STORE),
  )


def table() -> list[str]:
  """Returns the lines of `together` for 8 to 1,024 workers: before, now."""
  lines = []
  for workers in (8, 64, 128, 512, 1024):
    old, new = together(workers)
    lines.append(
      f"{workers} workers, predicted before and now: votes "
      f"{1e3 * old.vote:.3g}, {1e3 * new.vote:.2g} ms a step; restore "
      f"{old.restore:.3g}, {new.restore:.2g} s; read of the store "
      f"{old.read / 1e9:.3g}, {new.read / 1e9:.2g} GB"
    )
  return lines

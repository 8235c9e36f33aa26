"""What a step should cost on n replicas, from what a few runs show.

    step(n) = work(n) + all_reduce(n)
    work(n) = fixed + examples of a replica * per_example * crowd(n)
    all_reduce(n) = 2 (n - 1) * latency + 2 (n - 1) / n * bytes / bandwidth

The second line is a straight line through steps of one replica. Where replicas
share the cores of one host, n of them get 1 / n of it each: `crowd(n)` is n
there and 1 where each has hardware of its own, and `fixed` (the optimizer's
pass over memory) is shared in the same way. The third is the cost of a ring
(Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
Operations in MPICH, 2005; Patarasuk and Yuan, 2009), in which each replica
sends and receives 2 (n - 1) / n of the bytes in 2 (n - 1) messages.

Nothing overlaps in it: an all-reduce that hides behind the backward pass makes
a step shorter than it says.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
  """What replicas reduce over.

  Attributes:
    latency: seconds of a message.
    bandwidth: bytes a second of one replica, in one direction.
  """

  latency: float
  bandwidth: float

  def all_reduce(self, replicas: int, size: float) -> float:
    """Seconds of reducing `size` bytes over a ring."""
    messages = 2 * (replicas - 1)
    return messages * self.latency + messages / replicas * size / self.bandwidth

  def all_gather(self, replicas: int, size: float) -> float:
    """Seconds in which each gets `size` bytes of each other over a ring."""
    return (replicas - 1) * (self.latency + size / self.bandwidth)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compute:
  """What one replica computes with all of the hardware.

  Attributes:
    fixed: seconds of a step without examples.
    per_example: seconds of an example.
  """

  fixed: float
  per_example: float

  def work(self, examples: float, *, crowd: int = 1) -> float:
    """Seconds of a step with that many examples on each of `crowd` replicas.

    Args:
      examples: of one replica.
      crowd: replicas that share the hardware.
    """
    return crowd * (self.fixed + examples * self.per_example)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
  """What the model says of one number of replicas.

  Attributes:
    replicas: how many.
    step: seconds.
    efficiency: examples/s of a replica over those of one alone.
    reduce_share: of the step that is all-reduce.
  """

  replicas: int
  step: float
  efficiency: float
  reduce_share: float


def fit_compute(examples: Sequence[float], seconds: Sequence[float]) -> Compute:
  """Fits a line, by least squares, to steps of one replica."""
  slope, start = np.polyfit(examples, seconds, 1)
  return Compute(fixed=max(0.0, float(start)), per_example=float(slope))


def fit_link(
  sizes: Sequence[float], seconds: Sequence[float], *, replicas: int
) -> Link:
  """Fits latency and bandwidth to all-reduces, by least relative error.

  Args:
    sizes: bytes.
    seconds: of an all-reduce of each size.
    replicas: that took part, at least 2.
  """
  messages = 2 * (replicas - 1)
  seconds = np.asarray(seconds, np.float64)
  terms = np.stack(
    [np.full(len(sizes), messages), messages / replicas * np.asarray(sizes)], 1
  )
  weighted = terms / seconds[:, None]  # Else the largest alone would count.
  (latency, slowness), *_ = np.linalg.lstsq(
    weighted, np.ones(len(sizes)), rcond=None
  )
  return Link(latency=max(0.0, float(latency)), bandwidth=1 / float(slowness))


def predict(
  compute: Compute,
  link: Link,
  *,
  replicas: int,
  examples: float,
  size: float,
  crowd: int = 1,
) -> Prediction:
  """Predicts a step.

  Args:
    compute: of one replica alone.
    link: between the replicas.
    replicas: how many.
    examples: of each replica.
    size: bytes that a step reduces.
    crowd: replicas that share one replica's hardware.
  """
  reduce = link.all_reduce(replicas, size) if replicas > 1 else 0.0
  step = compute.work(examples, crowd=crowd) + reduce
  return Prediction(
    replicas=replicas,
    step=step,
    efficiency=compute.work(examples) / step,
    reduce_share=reduce / step,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Together:
  """What workers do together beside the sum of the gradients.

  Attributes:
    vote: seconds of a step that go to the notices to stop.
    restore: seconds until all have a checkpoint.
    read: bytes that are read of the store for it, by all.
  """

  vote: float
  restore: float
  read: float


def voting(
  link: Link, *, workers: int, size: float, store: float, steps: float = 5.0
) -> Together:
  """Each loop ends in an all-gather of 776 bytes; each worker reads all.

  Args:
    link: between the workers.
    workers: how many.
    size: bytes of a checkpoint; it is hashed, and then read.
    store: bytes a second that it gives all readers together.
    steps: of a loop.
  """
  read = 2.0 * size * workers
  return Together(
    vote=link.all_gather(workers, 776) / steps, restore=read / store, read=read
  )


def riding(link: Link, *, workers: int, size: float, store: float) -> Together:
  """Flags and paces ride on the sum; one worker reads, and all get it by a sum.

  The sum exists anyway: what is added is 8 bytes for each worker.
  """
  more = 2 * (workers - 1) / workers * 8 * workers / link.bandwidth
  return Together(
    vote=more,
    restore=2.0 * size / store + link.all_reduce(workers, size),
    read=2.0 * size,
  )


def errors(
  predicted: Sequence[float], measured: Sequence[float]
) -> tuple[float, float]:
  """Mean and largest relative error of predictions, without their sign."""
  relative = np.abs(np.asarray(predicted) / np.asarray(measured) - 1)
  return float(relative.mean()), float(relative.max())

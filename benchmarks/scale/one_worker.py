"""What one worker of many computes on its host for a step, without the others.

The plan of a global batch is that of all workers; the arrays are those of one.
Pairs are synthetic: lengths of N(53, 17) within 7 and 128 tokens, as MRPC's.
"""

import time
from typing import NamedTuple

import numpy as np

from engine.loop.batches import Batches
from engine.loop.order import Order
from tasks.model.flops import training_flops
from tasks.tokens.encoded import EncodedPairs
from tasks.tokens.pair_source import PairSource

_WIDTH = 128  # Tokens of the longest pair.


class Size(NamedTuple):
  """A global batch and who shares it."""

  batch_size: int
  replicas: int
  workers: int

  def __str__(self) -> str:
    return f"{self.batch_size} x {self.replicas}, a worker of {self.workers}"


SIZES = (
  Size(32, 1, 1),
  Size(256, 8, 1),
  Size(2048, 8, 1),
  Size(2048, 64, 8),
  Size(16_384, 512, 64),
  Size(32_768, 1024, 128),
)


def lengths_of(pairs: int, rng: np.random.Generator) -> np.ndarray:
  """Draws the lengths of pairs, int64 [pairs]."""
  return np.clip(rng.normal(53, 17, pairs), 7, _WIDTH).astype(np.int64)


def synthetic(pairs: int, seed: int = 0) -> PairSource:
  """Makes a split of synthetic pairs, of BERT-base's operations."""
  rng = np.random.default_rng(seed)
  lengths = lengths_of(pairs, rng)
  encoded = EncodedPairs(
    ids=rng.integers(30_522, size=lengths.sum(), dtype=np.int32),
    starts=np.concatenate([[0], np.cumsum(lengths)]),
    first=(lengths // 2).astype(np.int32),
    truncated=0,
  )
  return PairSource(
    encoded,
    rng.integers(2, size=pairs),
    np.arange(pairs),
    batching="pack",
    width=_WIDTH,
    flops=lambda lengths: training_flops(
      hidden=768, inner=3072, layers=12, lengths=lengths, classes=2
    ),
  )


def cpu_seconds(source: PairSource, size: Size, steps: int) -> list[float]:
  """CPU seconds of the plan and the arrays of each of some steps.

  They are those of the last worker. The first step, which declares the shapes
  and sorts the epoch, is left out.
  """
  own = size.replicas // size.workers
  batches = Batches(
    source=source,
    order=Order(
      num_examples=len(source),
      batch_size=size.batch_size,
      num_positions=(steps + 1) * size.batch_size,
      seed=0,
    ),
    batch_size=size.batch_size,
    replicas=size.replicas,
    own=range(size.replicas - own, size.replicas),
  )
  found = []
  for step in range(steps + 1):
    begun = time.process_time()
    batches(step)
    found.append(time.process_time() - begun)
  return found[1:]

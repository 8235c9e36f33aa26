"""Medians and intervals of measured values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

DRAWS = 4000  # Of a bootstrap.


def summary(samples: Sequence[Any]) -> dict[str, Any]:
  """Median of windows, with the quartiles and an interval for the median.

  The interval is a 95 % percentile bootstrap of the median (Efron and
  Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) in two
  levels, first processes and then the windows of each (Kalibera and Jones,
  Rigorous Benchmarking in Reasonable Time, ISMM 2013), with a fixed seed.

  Args:
    samples: numbers, one for each window; or a list of such lists, one for
      each process.
  """
  processes = [
    [float(x) for x in group]
    for group in (samples if isinstance(samples[0], Sequence) else [samples])
  ]
  pooled = np.concatenate(processes)
  low, median, high = np.percentile(pooled, [25, 50, 75])
  interval = np.percentile(medians(processes), [2.5, 97.5])
  return {
    "median": float(median),
    "low": float(low),
    "high": float(high),
    "interval": [float(x) for x in interval],
    "windows": len(pooled),
    "samples": processes,
  }


def medians(processes: Sequence[Sequence[float]], seed: int = 0) -> np.ndarray:
  """Medians of what is drawn again from processes and windows: [DRAWS]."""
  random = np.random.default_rng(seed)
  sizes = np.array([len(group) for group in processes])
  table = np.full([len(sizes), max(sizes)], np.inf)
  for line, group in zip(table, processes, strict=True):
    line[: len(group)] = group
  chosen = random.integers(len(sizes), size=[DRAWS, len(sizes)])
  held = sizes[chosen][..., None]
  places = random.random([*chosen.shape, max(sizes)]) * held
  drawn = table[chosen[..., None], places.astype(int)]
  # Groups may differ in size: what is too much sorts behind the middle.
  drawn = np.where(np.arange(max(sizes)) < held, drawn, np.inf)
  drawn = np.sort(drawn.reshape(DRAWS, -1), axis=1)
  count = held.sum(axis=(1, 2))
  middle = np.stack([(count - 1) // 2, count // 2], axis=1)
  return np.take_along_axis(drawn, middle, axis=1).mean(axis=1)

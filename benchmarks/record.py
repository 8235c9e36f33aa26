"""What each record of a benchmark says."""

import subprocess

import numpy as np


def summary(values: list[float]) -> dict[str, float]:
  """Median and quartiles of windows."""
  low, median, high = np.percentile(values, [25, 50, 75])
  return {
    "median": float(median),
    "low": float(low),
    "high": float(high),
    "windows": len(values),
  }


def commit() -> str:
  """The commit that was measured, `+` where the tree differs from it."""
  run = subprocess.run(
    ["git", "describe", "--always", "--dirty=+"],
    capture_output=True,
    text=True,
  )
  return run.stdout.strip() or "unknown"

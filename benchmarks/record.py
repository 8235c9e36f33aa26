"""What each record of a benchmark says, how it is written and read.

A record holds where and how it was measured, and `rows`. A row is one thing
that was measured, in a form that `benchmarks.compare` and `benchmarks.picture`
know whatever it is:

    {"name": ..., "unit": "examples/s", "better": "higher" or "lower",
     "summary": summary(samples), ...}      # more keys are the benchmark's own
"""

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import UserError
from launch.door import door_flags

DRAWS = 4000  # Of a bootstrap.


def row(
  name: str, unit: str, samples: Sequence[Any], *, better: str, **more: Any
) -> dict[str, Any]:
  """Returns one row of a record.

  Args:
    name: the same in two records only where the same was measured.
    unit: of the samples.
    samples: as for `summary`.
    better: "higher" or "lower".
    **more: what else the row says.
  """
  assert better in ("higher", "lower"), better
  return {
    "name": name,
    "unit": unit,
    "better": better,
    **more,
    "summary": summary(samples),
  }


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


def write_record(
  benchmark: str,
  rows: Sequence[Mapping[str, Any]],
  *,
  environment: Mapping[str, Any],
  output_dir: str,
  **facts: Any,
) -> str:
  """Writes `output_dir/BENCHMARK_YYYYMMDD_HHMMSS.json`.

  Args:
    benchmark: its name.
    rows: what was measured.
    environment: what `engine.result.environment` returned where it was
      measured: versions, hardware, threads.
    output_dir: is made where it is missing.
    **facts: what else the record says.

  Returns:
    The path.

  Raises:
    UserError: where it cannot be written.
  """
  now = datetime.datetime.now().astimezone()
  record = {
    "benchmark": benchmark,
    "command": " ".join([f"python -m benchmarks.{benchmark}", *sys.argv[1:]]),
    "flags": {
      flag.name: flag.value
      for flag in door_flags()
      if flag.value not in (None, "", [])
    },
    "date": now.isoformat(timespec="seconds"),
    "commit": commit(),
    **{k: environment[k] for k in ("hardware", "versions", "threads")},
    **facts,
    "rows": list(rows),
  }
  stamp = now.strftime("%Y%m%d_%H%M%S")
  path = os.path.join(output_dir, f"{benchmark}_{stamp}.json")
  try:
    os.makedirs(output_dir, exist_ok=True)
    with open(path, "w") as file:
      json.dump(record, file, indent=2)
  except OSError as error:
    raise UserError(
      f"`output_dir` {output_dir} cannot be written ({error.strerror}): name "
      "another by --output_dir."
    ) from error
  return path


def read_record(path: str) -> dict[str, Any]:
  """Reads a record.

  Raises:
    UserError: where the file is missing, damaged or no record.
  """
  try:
    with open(path, encoding="utf-8") as file:
      record = json.load(file)
    for each in record["rows"]:
      for name in ("name", "unit", "better"):
        each[name] + ""  # It must be text.
      _check_samples(each["summary"])
    record["benchmark"] + ""
    dict(record["hardware"])
  except OSError as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}): name a file of "
      "benchmarks/results/."
    ) from error
  except (ValueError, LookupError, TypeError) as error:
    raise UserError(
      f"{path} is no record of a benchmark, or is damaged "
      f"({type(error).__name__}: {error}): measure again."
    ) from error
  return record


def _check_samples(found: Mapping[str, Any]) -> None:
  samples = [float(x) for group in found["samples"] for x in group]
  if not samples or not np.all(np.isfinite(samples)):
    raise ValueError("a row without finite samples")


def commit() -> str:
  """The commit that was measured, `+` where the tree differs from it."""
  run = subprocess.run(
    ["git", "describe", "--always", "--dirty=+"],
    capture_output=True,
    text=True,
  )
  return run.stdout.strip() or "unknown"

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

from benchmarks.harness.statistics import summary
from engine.errors import UserError
from launch.command.door import door_flags


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
    environment: what `engine.measure.environment.environment` returned where it
      was measured: versions, hardware, threads.
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
  # Imported here: TensorFlow takes seconds.
  from engine.files import DISK_ERRORS, reason_of, write_json

  try:
    os.makedirs(output_dir, exist_ok=True)
    write_json(path, record)
  except DISK_ERRORS as error:
    raise UserError(
      f"`output_dir` {output_dir} cannot be written ({reason_of(error)}): name "
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

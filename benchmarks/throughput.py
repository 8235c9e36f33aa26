"""Examples/s of what users run: python -m benchmarks.throughput --help.

Each cell of the matrix is a fresh process that runs `launch.train`; its rate is
the median over windows of the step bucket, after warm-up, so compilation,
evaluation and checkpoints are not in it. Cells alternate, so that a machine
whose speed drifts is the same for all.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import flags

from benchmarks.record import commit, summary
from engine.errors import UserError
from launch.flags import run_door

flags.DEFINE_string("encoder", "demo", "Encoder, as for launch.train.")
BATCHINGS, PRECISIONS = ["pad", "bucket", "pack"], ["float32", "bfloat16"]
flags.DEFINE_list("batching", BATCHINGS, "Ways to compare.")
flags.DEFINE_list("precision", PRECISIONS, "Types to compare.")
flags.DEFINE_integer("train_steps", 24, "Steps of a process.", lower_bound=12)
flags.DEFINE_integer("repeats", 2, "Processes of a cell.", lower_bound=1)
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")

STEPS_PER_WINDOW = 2


def main() -> None:
  """Measures the matrix, writes one JSON file, prints a table."""
  values = flags.FLAGS
  for name, known in (("batching", BATCHINGS), ("precision", PRECISIONS)):
    unknown = set(values[name].value) - set(known)
    if unknown:
      raise UserError(f"`{name}` has {sorted(unknown)}, but takes {known}.")
  cells = list(itertools.product(values.batching, values.precision))
  windows: dict[tuple[str, str], list[float]] = {cell: [] for cell in cells}
  results: dict[tuple[str, str], dict[str, Any]] = {}
  for _ in range(values.repeats):
    for cell in cells:
      results[cell], rates = measure(values.encoder, *cell, values.train_steps)
      windows[cell] += rates
  rows = [
    {
      "batching": batching,
      "precision": precision,
      "examples_per_second": summary(windows[batching, precision]),
      "padding": results[batching, precision]["train"]["padding"],
      "traces": results[batching, precision]["traces"],
    }
    for batching, precision in cells
  ]
  any_result = next(iter(results.values()))
  record = {
    "command": " ".join(["python -m benchmarks.throughput", *sys.argv[1:]]),
    "date": time.strftime("%Y-%m-%d"),
    "commit": commit(),
    "encoder": values.encoder,
    "train_command": any_result["command"],
    "hardware": any_result["hardware"],
    "versions": any_result["versions"],
    "rows": rows,
  }
  os.makedirs(values.output_dir, exist_ok=True)
  path = os.path.join(
    values.output_dir, time.strftime("throughput_%Y%m%d_%H%M%S.json")
  )
  with open(path, "w") as file:
    json.dump(record, file, indent=2)
  print("batching precision  examples/s [interquartile]  padding")
  for row in rows:
    rate = row["examples_per_second"]
    print(
      f"{row['batching']:8} {row['precision']:9} {rate['median']:8.1f} "
      f"[{rate['low']:.1f}, {rate['high']:.1f}]  {row['padding']:9.1%}"
    )
  print(path)


def measure(
  encoder: str, batching: str, precision: str, train_steps: int
) -> tuple[dict[str, Any], list[float]]:
  """Runs one process; returns its result and examples/s of each window."""
  with tempfile.TemporaryDirectory() as model_dir:
    command = [sys.executable, "-m", "launch.train", "--mode=train"]
    command += ["--task=demo", f"--encoder={encoder}", "--quiet"]
    command += [f"--batching={batching}", f"--precision={precision}"]
    command += [f"--train_steps={train_steps}", f"--model_dir={model_dir}"]
    command += [f"--steps_per_loop={STEPS_PER_WINDOW}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(model_dir, "result.json")) as file:
      result = json.load(file)
    with open(os.path.join(model_dir, "metrics.jsonl")) as file:
      points = [json.loads(line) for line in file]
  rates = [
    point["examples_per_second"]
    for point in points[2:]
    if "examples_per_second" in point
  ]
  return result, rates


if __name__ == "__main__":
  run_door(main, "Measures training throughput on this machine.")

"""Rates of what users run: python -m benchmarks.throughput --help.

A matrix of encoders, strategies, precisions and ways of batching. Each cell is
a fresh process that runs `launch.train` (or `launch.cluster`); its rates are
those of windows of the step bucket behind a warm-up, so compilation,
evaluation and checkpoints are not in them. Cells alternate, so that a machine
whose speed drifts is the same for all.
"""

import itertools
import os
import statistics
from typing import Any

from absl import flags

from benchmarks.harness import cells
from benchmarks.harness.cells import Cell, Measured
from benchmarks.harness.record import row, write_record
from benchmarks.picture import draw
from engine.errors import UserError
from launch.command.door import fail, run_door
from launch.command.flags import config_from_flags, define_settings

BATCHINGS, PRECISIONS = ["pad", "bucket", "pack"], ["float32", "bfloat16"]
KNOWN = {"batching": BATCHINGS, "precision": [*PRECISIONS, "float16"]}
SETTINGS = ("task", "data_dir", "global_batch_size")
flags.DEFINE_list(
  "encoder", ["demo"], "demo, a directory, or random: tiny, base, large."
)
flags.DEFINE_list("strategy", ["one_device"], f"Of {cells.STRATEGIES}.")
flags.DEFINE_list("precision", PRECISIONS, "Types to compare.")
flags.DEFINE_list("batching", BATCHINGS, "Ways to compare.")
flags.DEFINE_integer("train_steps", 24, "Steps of a process.", lower_bound=14)
flags.DEFINE_integer("repeats", 3, "Processes of a cell.", lower_bound=1)
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")
define_settings(SETTINGS)

LEAST_WINDOWS = 5


def main() -> None:
  """Measures the matrix; writes one JSON file and a picture, prints a table."""
  values = flags.FLAGS
  for name, known in KNOWN.items():
    unknown = set(values[name].value) - set(known)
    if unknown:
      raise UserError(f"`{name}` has {sorted(unknown)}, but takes {known}.")
  strategies = [cells.Strategy.parse(text) for text in values.strategy]
  config = config_from_flags(SETTINGS)
  cells.check_accelerators(strategies)
  # Imported behind the checks: TensorFlow takes seconds.
  from tasks.encoders import find as encoders

  for encoder in values.encoder:
    encoders.find(encoder)
  matrix = [
    Cell(*cell)
    for cell in itertools.product(
      values.encoder, strategies, values.precision, values.batching
    )
  ]
  if not matrix:
    raise UserError("The matrix is empty: leave no list of it empty.")
  found, failed = measure_all(matrix)
  rows = []
  for cell, runs in found.items():
    where = f"on {config.task.name}, batch {config.train.global_batch_size}"
    rows += rows_of(cell, runs, f"{cell.encoder} {where}, {cell.label}")
  if not rows:
    raise UserError(f"No cell could be measured: {list(failed.values())[0]}.")
  any_result = next(iter(found.values()))[0].result
  path = write_record(
    "throughput",
    rows,
    environment=any_result,
    output_dir=values.output_dir,
    title=f"Training on {config.task.name}",
    failed={f"{cell.encoder} {cell.label}": x for cell, x in failed.items()},
  )
  print(table(rows))
  print(path)
  print(draw(path))
  if failed:
    cell, reason = next(iter(failed.items()))
    fail(f"{len(failed)} cell(s) failed: {cell.label}: {reason}", status=1)


def measure_all(
  matrix: list[Cell],
) -> tuple[dict[Cell, list[Measured]], dict[Cell, str]]:
  """Runs all cells in turn, `--repeats` times; one that fails is left out.

  Returns:
    What each cell gave, and why others did not.

  Raises:
    UserError: where a cell is refused, or has too few windows.
  """
  values = flags.FLAGS
  settings = cells.given_settings(SETTINGS)
  found: dict[Cell, list[Measured]] = {}
  failed: dict[Cell, str] = {}
  for turn, cell in itertools.product(range(values.repeats), matrix):
    if cell in failed:
      continue
    try:
      run = cells.measure(cell, settings, train_steps=values.train_steps)
    except cells.CellFailed as error:
      failed[cell] = str(error)
      found.pop(cell, None)
      print(f"{cell.encoder} {cell.label}: {error}", flush=True)
      continue
    if len(run.windows) * values.repeats < LEAST_WINDOWS:
      raise UserError(
        f"`train_steps` is {values.train_steps}, which gives {cell.label} "
        f"{len(run.windows)} window(s) behind its {run.result['traces']} "
        "programs: give more."
      )
    found.setdefault(cell, []).append(run)
    rate = statistics.median(examples for _, examples, _ in run.windows)
    print(
      f"{turn + 1}/{values.repeats} {cell.encoder} {cell.label}: "
      f"{rate:.1f} examples/s",
      flush=True,
    )
  return found, failed


def rows_of(cell: Cell, runs: list[Measured], name: str) -> list[dict]:
  """Returns the rows of one cell: its rate, and its memory.

  Steps and tokens are counted in the same windows as the examples.
  """
  steps, examples, tokens = (
    [[window[i] for window in run.windows] for run in runs] for i in range(3)
  )
  result = runs[-1].result
  rate = row(
    name,
    "examples/s",
    examples,
    better="higher",
    panel=cell.encoder,
    label=cell.label,
    replicas=result["replicas"],
    steps_per_second=_median(steps),
    real_tokens_per_second=_median(tokens),
    padding=result["train"]["padding"],
    traces=result["traces"],
    threads=result["threads"],
    train_command=result["command"],
  )
  rate["per_accelerator"] = {
    unit: value / result["replicas"]
    for unit, value in {
      "examples_per_second": rate["summary"]["median"],
      "steps_per_second": rate["steps_per_second"],
      "real_tokens_per_second": rate["real_tokens_per_second"],
    }.items()
  }
  memory = [[run.result["peak_memory_bytes"]] for run in runs]
  peak = row(f"{name}: peak memory", "bytes", memory, better="lower")
  return [rate, peak]


def _median(processes: list[list[float]]) -> float:
  return statistics.median(itertools.chain(*processes))


def table(rows: list[dict[str, Any]]) -> str:
  """One line for each cell."""
  labels = [
    f"{os.path.basename(rate['panel'])} {rate['label']}" for rate in rows[::2]
  ]
  width = max(map(len, labels))
  lines = [
    f"{'':{width}}  examples/s [95 % interval]  per replica  steps/s  "
    "real tokens/s  padding  traces  peak MB"
  ]
  for label, rate, peak in zip(labels, rows[::2], rows[1::2], strict=True):
    found = rate["summary"]
    low, high = found["interval"]
    interval = f"[{low:.1f}, {high:.1f}]"
    lines.append(
      f"{label:{width}}  {found['median']:8.1f} {interval:>18}"
      f"{rate['per_accelerator']['examples_per_second']:13.1f}"
      f"{rate['steps_per_second']:9.2f}{rate['real_tokens_per_second']:15.0f}"
      f"{rate['padding']:9.1%}{rate['traces']:8}"
      f"{peak['summary']['median'] / 1e6:9.0f}"
    )
  return "\n".join(lines)


if __name__ == "__main__":
  run_door(main, "Measures training throughput on this machine.")

"""From process start to the first step: python -m benchmarks.startup --help.

Each repeat is a fresh process of `launch.train`, with warm caches: one that is
not counted goes first. Its ledger says when the first step has finished,
`benchmarks.harness.stages` where start-up went, and `-X importtime` which
library the imports belong to (Python's own measure, within a stage or not; it
costs about a hundredth). Beside it stand whole commands: `--help`, and a
prediction of one pair with the run.
"""

import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import flags

from benchmarks.harness import cells
from benchmarks.harness.record import row, write_record
from benchmarks.harness.runs import read_run
from engine.errors import UserError
from launch.command.door import run_door
from launch.command.flags import config_from_flags, define_settings

SETTINGS = ("task", "data_dir", "encoder", "batching", "precision", "xla")
define_settings(SETTINGS)
flags.DEFINE_integer("repeats", 5, "Processes.", lower_bound=1)
flags.DEFINE_bool("warm", True, "One process first that is not counted.")
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")

PREFIXES = {"stages": "", "libraries": "import ", "commands": "command "}
TRAIN_STEPS = 6  # Enough for a second step of a shape, whose time is a step's.
LIBRARIES = 8  # Shown; the record has all.
OWN = ("engine", "tasks", "launch", "benchmarks")
PAIR = "The ferry left late.\tThe ferry left behind schedule.\n"


def main() -> None:
  """Measures, writes one JSON file, prints where the seconds go."""
  values = flags.FLAGS
  config = config_from_flags(SETTINGS)
  settings = cells.given_settings(SETTINGS)
  if values.warm:
    measure(settings)
  runs = [measure(settings) for _ in range(values.repeats)]
  where = f"{config.task.encoder} on {config.task.name}"
  rows = []
  for kind, prefix in PREFIXES.items():
    names = dict.fromkeys(name for run in runs for name in run[kind])
    samples = {
      # Each process is one sample of one window.
      name: [[max(1e-6, run[kind].get(name, 0.0))] for run in runs]
      for name in names
    }
    rows += [
      row(
        f"{where}: {prefix}{name}",
        "s",
        each,
        better="lower",
        part=name,
        kind=kind,
      )
      for name, each in samples.items()
    ]
  path = write_record(
    "startup",
    rows,
    environment=runs[0]["result"],
    output_dir=values.output_dir,
  )
  print("\n".join(table(rows)))
  print(path)


def measure(settings: list[str]) -> dict[str, Any]:
  """Runs each command once; returns seconds by stage, library and command.

  Raises:
    UserError: where `launch.train` refuses, or fails.
  """
  with tempfile.TemporaryDirectory() as model_dir:
    command = [
      sys.executable,
      "-X",
      "importtime",
      "-m",
      "benchmarks.harness.stages",
    ]
    command += ["--mode=train", "--quiet", *settings, "--steps_per_loop=1"]
    command += [f"--train_steps={TRAIN_STEPS}", f"--model_dir={model_dir}"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
      last = (run.stderr.strip().splitlines() or ["no word"])[-1]
      raise UserError(f"launch.train ended with {run.returncode}: {last}")
    with open(os.path.join(model_dir, "stages.json")) as file:
      noted = json.load(file)
    result, points = read_run(model_dir)
    commands = {
      "launch.train --help": whole("launch.train", "--help"),
      "launch.predict, one pair": whole(
        "launch.predict", f"--model_dir={model_dir}", text=PAIR
      ),
    }
  return {
    "stages": stages_of(noted["seconds"], points),
    "libraries": libraries_of(run.stderr.partition(noted["mark"])[0]),
    "commands": commands,
    "result": result,
  }


def whole(module: str, *arguments: str, text: str = "") -> float:
  """Seconds of a whole command that is given a text.

  Raises:
    UserError: where it fails.
  """
  command = [sys.executable, "-m", module, *arguments]
  begun = time.perf_counter()
  run = subprocess.run(command, input=text, capture_output=True, text=True)
  took = time.perf_counter() - begun
  if run.returncode:
    raise UserError(
      f"{module} ended with {run.returncode}: {run.stderr[-200:]}"
    )
  return took


def stages_of(
  noted: dict[str, float], points: list[dict[str, Any]]
) -> dict[str, float]:
  """Splits the time until the first step has finished; the parts add up.

  The call that compiles runs the first step too: that step is taken to be as
  long as the later ones of known shapes, and the rest of the call is compile.

  Args:
    noted: seconds of stages, from `benchmarks.harness.stages`.
    points: log points of a run with one step in a loop.
  """
  ledger, work = points[0]["ledger"], points[-1]["work"]
  step = work["seconds"] / work["steps"] if work["steps"] else 0.0
  step = min(step, ledger["compile"])
  seconds = {
    **noted,
    "compile": ledger["compile"] - step,
    "first step": step,
  }
  total = sum(ledger.values())
  return {
    **seconds,
    "other": total - sum(seconds.values()),
    "total": total,
  }


def libraries_of(text: str) -> dict[str, float]:
  """Seconds of imports by library, from what `-X importtime` wrote.

  Each module's own time counts for the package at the top of its name; the
  most expensive comes first.
  """
  seconds: dict[str, float] = collections.defaultdict(float)
  for line in text.splitlines():
    found = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", line)
    if found:
      top = found[2].split(".")[0]
      if top in sys.stdlib_module_names or top in ("site", "sitecustomize"):
        top = "python"
      elif top in OWN:
        top = "apsis"
      seconds[top] += int(found[1]) / 1e6
  return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def table(rows: list[dict[str, Any]]) -> list[str]:
  """A line for each stage and command, and for the libraries that cost most."""
  of = {kind: [x for x in rows if x["kind"] == kind] for kind in PREFIXES}
  imports = sorted(of["libraries"], key=lambda x: -x["summary"]["median"])
  medians = [each["summary"]["median"] for each in imports]
  return [
    "seconds until the first step has finished [95 % interval]",
    *map(_line, of["stages"]),
    "seconds of whole commands",
    *map(_line, of["commands"]),
    f"seconds of imports by library, all stages: {sum(medians):.2f}",
    *map(_line, imports[:LIBRARIES]),
    f"  {'others':26}{sum(medians[LIBRARIES:]):7.2f}",
  ]


def _line(each: dict[str, Any]) -> str:
  found = each["summary"]
  low, high = found["interval"]
  return f"  {each['part']:26}{found['median']:7.2f}  [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
  run_door(main, "Measures the start-up of launch.train on this machine.")

"""Apsis beside its peers: python -m benchmarks.peers --help.

The same encoder, pairs, batch and recipe through Keras `fit`
(as TensorFlow's tutorial does it), Model Garden's trainer, Hugging Face's
`Trainer` and Apsis. Each run is a fresh process, and they alternate, so that a
machine whose speed drifts is the same for all. A rate is examples over seconds
of all steps behind a warm-up: batches cost differently, so a median of steps
would hide the long ones, and whoever does not pad all to one width runs a whole
epoch.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from absl import flags

from benchmarks.contenders.contest import (
  CONTENDERS,
  STEPS_PER_WINDOW,
  Entry,
  blocks,
  check_installed,
  chosen,
  measured_steps,
  table,
  verdicts,
)
from benchmarks.contenders.plan import BATCH_SIZE, Plan
from benchmarks.harness.record import row, write_record
from engine.errors import UserError
from launch.command.door import fail, run_door
from launch.command.flags import config_from_flags, define_settings
from tasks.config import FILES

SETTINGS = ("task", "data_dir", "encoder")
flags.DEFINE_list("contenders", list(CONTENDERS), "Which to run.")
flags.DEFINE_list("only", [], "Of their settings; e.g. 'grouped bfloat16'.")
flags.DEFINE_integer(
  "steps", 24, "Measured steps of padded rows; else an epoch.", lower_bound=10
)
flags.DEFINE_integer("warm_up", 6, "Steps before them.", lower_bound=2)
flags.DEFINE_integer("repeats", 3, "Runs of each.", lower_bound=1)
flags.DEFINE_bool("accuracy", False, "Train for epochs, compare accuracies.")
flags.DEFINE_float("epochs", 3.0, "Of --accuracy.", lower_bound=0.01)
flags.DEFINE_list("seeds", ["0", "1", "2"], "Of --accuracy.")
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")
define_settings(SETTINGS)


def main() -> None:
  """Runs all; writes one JSON file, prints a table and what was reached."""
  values = flags.FLAGS
  entries = chosen(values.contenders, values.only)
  check_installed(entries)
  task = config_from_flags(SETTINGS).task
  # Imported behind the checks: TensorFlow takes seconds.
  from engine.measure.environment import environment
  from tasks.data.datasets import answers_of, read_split
  from tasks.encoders import find as encoders

  answers = answers_of(task)
  if task.name == FILES or answers.outputs != 2:
    raise UserError(
      f"`task` is {task.name!r}, but the peers are given named sets of two "
      "classes: demo, mrpc, rte, ..."
    )
  if not encoders.find(task.encoder).pretrained:
    raise UserError(
      f"`encoder` is {task.encoder!r}, which has no weights to share: use demo "
      "or a directory."
    )
  size = len(read_split(task, "train", answers))
  epochs = values.epochs if values.accuracy else 0
  trained = int(np.ceil(epochs * size / BATCH_SIZE))
  plan = Plan(
    setting="",
    task=task.name,
    data_dir=task.data_dir,
    encoder=task.encoder,
    steps=trained,
    steps_per_window=STEPS_PER_WINDOW,
    seed=0,
    evaluate=values.accuracy,
  )
  seeds = [int(x) for x in values.seeds] if values.accuracy else []
  answers: dict[Entry, list[dict[str, Any]]] = {entry: [] for entry in entries}
  for turn, seed in enumerate(seeds or [0] * values.repeats):
    for entry in entries:
      print(f"run {turn + 1}: {entry}", file=sys.stderr, flush=True)
      steps = trained or values.warm_up + measured_steps(
        entry, padded=values.steps, epoch=size // BATCH_SIZE
      )
      asked = dataclasses.replace(
        plan, setting=entry.setting, seed=seed, steps=steps
      )
      answers[entry].append(ask(entry, asked))
  warm_up = values.warm_up // STEPS_PER_WINDOW
  rates = {
    entry: [blocks(x["windows"][warm_up:]) for x in found]
    for entry, found in answers.items()
  }
  rows = [
    row(
      f"{entry} on {task.name}, {task.encoder}",
      "examples/s",
      rates[entry],
      better="higher",
      contender=entry.contender,
      windows=[len(x["windows"]) for x in answers[entry]],
      setting=entry.setting,
      peak_memory_bytes=max(x["peak_memory_bytes"] for x in answers[entry]),
      accuracies=[x["accuracy"] for x in answers[entry]],
    )
    for entry in entries
  ]
  path = write_record(
    "peers",
    rows,
    environment=environment(),
    output_dir=values.output_dir,
    steps=values.steps,
    batch_size=BATCH_SIZE,
    plan=dataclasses.asdict(plan),
  )
  print("\n".join([*table(rows), *verdicts(rates), path]))


def ask(entry: Entry, plan: Plan) -> dict[str, Any]:
  """Runs a contender in a process of its own; returns its answer."""
  with tempfile.TemporaryDirectory() as directory:
    asked, told = (os.path.join(directory, x) for x in ("plan", "answer"))
    with open(asked, "w") as file:
      json.dump(dataclasses.asdict(plan), file)
    module = f"benchmarks.contenders.{entry.contender}"
    run = subprocess.run(
      [sys.executable, "-m", module, asked, told],
      capture_output=True,
      text=True,
    )
    if run.returncode:
      lines = run.stderr.strip().splitlines() or ["no word"]
      fail(f"{entry} ended with {run.returncode}: {lines[-1]}", status=1)
    with open(told) as file:
      return json.load(file)


if __name__ == "__main__":
  run_door(main, "Measures Apsis beside its peers on this machine.")

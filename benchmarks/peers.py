"""Apsis beside its peers: python -m benchmarks.peers --help.

The same encoder, pairs, batch and recipe through Keras `fit`
(as TensorFlow's tutorial does it), Model Garden's trainer, Hugging Face's
`Trainer` and Apsis. Each run is a fresh process, and they alternate, so that a
machine whose speed drifts is the same for all. A rate is examples over seconds
of all steps behind a warm-up: batches cost differently, so a median of steps
would hide the long ones, and whoever does not pad all to one width runs a whole
epoch.

With --whole each trains for epochs, evaluates after each, and is timed from the
start of its process to its last metric: Apsis to its exit, with its
checkpoints, reading of texts and report, which the others are spared.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from benchmarks.contenders import given
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
from launch.command.door import fail, run_door
from launch.command.flags import config_from_flags, define_settings

SETTINGS = ("task", "data_dir", "encoder", "learning_rate")
flags.DEFINE_list("contenders", list(CONTENDERS), "Which to run.")
flags.DEFINE_list("only", [], "Of their settings; e.g. 'grouped bfloat16'.")
flags.DEFINE_integer(
  "steps", 24, "Measured steps of padded rows; else an epoch.", lower_bound=10
)
flags.DEFINE_integer("warm_up", 6, "Steps before them.", lower_bound=2)
flags.DEFINE_integer("repeats", 3, "Runs of each.", lower_bound=1)
flags.DEFINE_bool("whole", False, "Whole commands, and their accuracies.")
flags.DEFINE_integer("epochs", 3, "Of --whole.", lower_bound=1)
flags.DEFINE_integer(
  "epoch_steps",
  0,
  "Of --whole, to try it; 0: those of the data.",
  lower_bound=0,
)
flags.DEFINE_list("seeds", ["0", "1", "2"], "Of --whole.")
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")
define_settings(SETTINGS)


def main() -> None:
  """Runs all; writes one JSON file, prints a table and what was reached."""
  values = flags.FLAGS
  entries = chosen(values.contenders, values.only)
  check_installed(entries)
  config = config_from_flags(SETTINGS)
  task = config.task
  # Imported behind the checks: TensorFlow takes seconds.
  from engine.measure.environment import environment

  whole = values.whole
  contenders = {entry.contender for entry in entries}
  given.check(task, contenders)
  asked = "hugging_face" in contenders
  source = given.source_of(task.encoder) if asked else ""
  with tempfile.TemporaryDirectory() as directory:
    epoch = given.write_splits(task, directory) // BATCH_SIZE
    steps = values.epoch_steps or epoch
    plan = Plan(
      setting="",
      task=task.name,
      data_dir=task.data_dir,
      encoder=task.encoder,
      source=source,
      learning_rate=config.optimizer.learning_rate,
      splits=directory,
      steps=values.epochs * steps,
      steps_per_window=steps if whole else STEPS_PER_WINDOW,
      seed=0,
      evaluations=values.epochs if whole else 0,
    )
    answers = run(entries, plan, epoch)
  samples = {x: samples_of(found) for x, found in answers.items()}
  rows = [
    row(
      f"{entry} on {task.name}, {task.encoder}"
      + (": whole command" if whole else ""),
      "s" if whole else "examples/s",
      samples[entry],
      better="lower" if whole else "higher",
      contender=entry.contender,
      windows=[len(x["windows"]) for x in found],
      setting=entry.setting,
      peak_memory_bytes=max(x["peak_memory_bytes"] for x in found),
      accuracies=[x["accuracy"] for x in found if whole],
      right=[x["right"] for x in found if x["right"]],
    )
    for entry, found in answers.items()
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
  print("\n".join([*table(rows), *verdicts(rows), path]))


def run(
  entries: Sequence[Entry], plan: Plan, epoch: int
) -> dict[Entry, list[dict[str, Any]]]:
  """Lets all take turns; returns what each has answered."""
  values = flags.FLAGS
  answers: dict[Entry, list[dict[str, Any]]] = {entry: [] for entry in entries}
  seeds = (
    [int(x) for x in values.seeds] if values.whole else [0] * values.repeats
  )
  for turn, seed in enumerate(seeds):
    for entry in entries:
      print(f"run {turn + 1}: {entry}", file=sys.stderr, flush=True)
      asked = dataclasses.replace(plan, setting=entry.setting, seed=seed)
      if not values.whole:
        steps = measured_steps(entry, padded=values.steps, epoch=epoch)
        asked = dataclasses.replace(asked, steps=values.warm_up + steps)
      answers[entry].append(ask(entry, asked))
  return answers


def samples_of(answers: Sequence[dict[str, Any]]) -> list[list[float]]:
  """Seconds of whole commands, or rates behind the warm-up, of each process."""
  if flags.FLAGS.whole:
    return [[x["seconds"]] for x in answers]
  warm_up = flags.FLAGS.warm_up // STEPS_PER_WINDOW
  return [blocks(x["windows"][warm_up:]) for x in answers]


def ask(entry: Entry, plan: Plan) -> dict[str, Any]:
  """Runs a contender in a process of its own; returns its answer."""
  with tempfile.TemporaryDirectory() as directory:
    asked, told = (os.path.join(directory, x) for x in ("plan", "answer"))
    plan = dataclasses.replace(plan, begun=time.monotonic())
    with open(asked, "w") as file:
      json.dump(dataclasses.asdict(plan), file)
    module = f"benchmarks.contenders.{entry.contender}"
    ended = subprocess.run(
      [sys.executable, "-m", module, asked, told],
      capture_output=True,
      text=True,
    )
    if ended.returncode:
      lines = ended.stderr.strip().splitlines() or ["no word"]
      fail(f"{entry} ended with {ended.returncode}: {lines[-1]}", status=1)
    with open(told) as file:
      return json.load(file)


if __name__ == "__main__":
  run_door(main, "Measures Apsis beside its peers on this machine.")

"""Apsis beside its peers: python -m benchmarks.peers --help.

The same encoder, pairs, batch, recipe and number of steps through Keras `fit`
(as TensorFlow's tutorial does it), Model Garden's trainer, Hugging Face's
`Trainer` and Apsis. Each run is a fresh process, and they alternate, so that a
machine whose speed drifts is the same for all. A rate is examples over seconds
of all steps behind a warm-up: batches cost differently, so a median of steps
would hide the long ones.
"""

import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from benchmarks.contenders.plan import BATCH_SIZE, Plan
from benchmarks.record import medians, row, write_record
from engine.errors import UserError
from launch.flags import config_from_flags, define_settings, fail, run_door

# Contender -> its settings, the one that a user would take first behind others.
CONTENDERS: Mapping[str, Sequence[str]] = {
  "keras_fit": ("padded float32",),
  "model_garden": ("padded float32",),
  "hugging_face": (
    "padded float32",
    "padded bfloat16",
    "dynamic bfloat16",
    "grouped bfloat16",
  ),
  "apsis": ("float32", "bfloat16"),
}
# How many times as fast Apsis is to be, and as what: of a contender's settings
# the fastest counts.
GOALS = (
  (5.0, "keras_fit", None),
  (5.0, "model_garden", None),
  (1.25, "hugging_face", None),
  (1.7, "hugging_face", "dynamic bfloat16"),
)
STEPS_PER_WINDOW = 2
BLOCKS = 5  # Into which the windows of a process are cut.

SETTINGS = ("task", "data_dir", "encoder")
flags.DEFINE_list("contenders", list(CONTENDERS), "Which to run.")
flags.DEFINE_list("only", [], "Of their settings; e.g. 'grouped bfloat16'.")
flags.DEFINE_integer("steps", 24, "Measured steps of a run.", lower_bound=10)
flags.DEFINE_integer("warm_up", 6, "Steps before them.", lower_bound=2)
flags.DEFINE_integer("repeats", 3, "Runs of each.", lower_bound=1)
flags.DEFINE_bool("accuracy", False, "Train for epochs, compare accuracies.")
flags.DEFINE_float("epochs", 3.0, "Of --accuracy.", lower_bound=0.01)
flags.DEFINE_list("seeds", ["0", "1", "2"], "Of --accuracy.")
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")
define_settings(SETTINGS)


@dataclasses.dataclass(frozen=True)
class Entry:
  """A contender in one of its settings."""

  contender: str
  setting: str

  def __str__(self) -> str:
    return f"{self.contender} {self.setting}"


def main() -> None:
  """Runs all; writes one JSON file, prints a table and what was reached."""
  values = flags.FLAGS
  entries = chosen(values.contenders, values.only)
  check_installed(entries)
  task = config_from_flags(SETTINGS).task
  # Imported behind the checks: TensorFlow takes seconds.
  from engine.result import environment
  from tasks import encoders
  from tasks.datasets import DATASETS

  if encoders.find(task.encoder).random:
    raise UserError(
      f"`encoder` is {task.encoder!r}, which has no weights to share: use demo "
      "or a directory."
    )
  size = len(DATASETS[task.name].read("train", task.data_dir))
  steps = values.warm_up + values.steps
  if values.accuracy:
    steps = int(np.ceil(values.epochs * size / BATCH_SIZE))
  plan = Plan(
    setting="",
    task=task.name,
    data_dir=task.data_dir,
    encoder=task.encoder,
    steps=steps,
    steps_per_window=STEPS_PER_WINDOW,
    seed=0,
    evaluate=values.accuracy,
  )
  seeds = [int(x) for x in values.seeds] if values.accuracy else []
  answers: dict[Entry, list[dict[str, Any]]] = {entry: [] for entry in entries}
  for turn, seed in enumerate(seeds or [0] * values.repeats):
    for entry in entries:
      print(f"run {turn + 1}: {entry}", file=sys.stderr, flush=True)
      asked = dataclasses.replace(plan, setting=entry.setting, seed=seed)
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
    steps=steps,
    batch_size=BATCH_SIZE,
    plan=dataclasses.asdict(plan),
  )
  print("\n".join([*table(rows), *verdicts(rates), path]))


def chosen(contenders: Sequence[str], only: Sequence[str]) -> list[Entry]:
  """Returns what to run, in the order of `CONTENDERS`.

  Raises:
    UserError: where a name is unknown, or nothing is left.
  """
  known = sorted({s for settings in CONTENDERS.values() for s in settings})
  for flag, given, names in (
    ("contenders", contenders, list(CONTENDERS)),
    ("only", only, known),
  ):
    unknown = sorted(set(given) - set(names))
    if unknown:
      raise UserError(f"`{flag}` has {unknown}, but takes {names}.")
  entries = [
    Entry(contender, setting)
    for contender, settings in CONTENDERS.items()
    for setting in settings
    if contender in contenders and (not only or setting in only)
  ]
  if not entries:
    raise UserError(
      "Nothing is left to run: give other --contenders or --only."
    )
  return entries


def check_installed(entries: Sequence[Entry]) -> None:
  """Raises `UserError` where a contender's library is missing."""
  wanted = [e for e in entries if e.contender == "hugging_face"]
  for library in ("torch", "transformers", "accelerate"):
    if wanted and importlib.util.find_spec(library) is None:
      raise UserError(
        f"hugging_face needs {library}: `pip install -e '.[peers]'`, or leave "
        "it out of --contenders."
      )


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


def blocks(windows: Sequence[float]) -> list[float]:
  """From seconds of windows to examples/s of blocks of windows."""
  parts = np.array_split(np.array(windows), min(BLOCKS, len(windows)))
  size = STEPS_PER_WINDOW * BATCH_SIZE
  return [float(size * len(part) / part.sum()) for part in parts]


def total(processes: Sequence[Sequence[float]]) -> float:
  """Examples/s of all blocks together: a block has the same examples."""
  return statistics.harmonic_mean([x for group in processes for x in group])


def fastest(
  rates: Mapping[Entry, Any], contender: str, setting: str | None = None
) -> Entry | None:
  """The setting of a contender that has the highest rate, if it was run."""
  found = [
    entry
    for entry in rates
    if entry.contender == contender and setting in (None, entry.setting)
  ]
  return max(found, key=lambda entry: total(rates[entry]), default=None)


def ratio(
  ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]
) -> tuple[float, float, float]:
  """Ratio of rates, and a 95 % interval (bootstrap, see `record.summary`)."""
  draws = medians(ours, seed=1) / medians(theirs, seed=2)
  low, high = np.percentile(draws, [2.5, 97.5])
  return total(ours) / total(theirs), float(low), float(high)


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """A line for each row."""
  lines = [f"{'':32} examples/s [95 % interval]   peak memory   accuracy"]
  for found in rows:
    rate = found["summary"]
    low, high = rate["interval"]
    scores = [x for x in found["accuracies"] if x is not None]
    score = f"{statistics.mean(scores):8.4f}" if scores else "       -"
    name = f"{found['contender']} {found['setting']}"
    memory = found["peak_memory_bytes"] / 1e9
    lines.append(
      f"{name:32} {total(rate['samples']):10.1f} [{low:.1f}, {high:.1f}]"
      f"{memory:14.1f} GB   {score}"
    )
  return lines


def verdicts(rates: Mapping[Entry, Any]) -> list[str]:
  """What Apsis reached of `GOALS`, for what was run."""
  best = fastest(rates, "apsis")
  lines = []
  for goal, contender, setting in GOALS:
    other = fastest(rates, contender, setting)
    if best is None or other is None:
      continue
    value, low, high = ratio(rates[best], rates[other])
    verdict = "reached" if value >= goal else "not reached"
    lines.append(
      f"{best} / {other}: {value:.2f} [{low:.2f}, {high:.2f}], "
      f"goal {goal}: {verdict}"
    )
  return lines


if __name__ == "__main__":
  run_door(main, "Measures Apsis beside its peers on this machine.")

"""Who takes part in `benchmarks.peers`, and how the figures are judged."""

import dataclasses
import importlib.util
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.contenders.plan import BATCH_SIZE
from benchmarks.harness.statistics import medians
from engine.certainty.paired import compare_means
from engine.certainty.statistic import mean_of
from engine.errors import UserError

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
  (1.35, "hugging_face", None),
  (1.7, "hugging_face", "dynamic bfloat16"),
)
# The same of the whole command, from its start to the last metric.
WHOLE_GOALS = (
  (4.8, "keras_fit", None),
  (4.8, "model_garden", None),
  (1.4, "hugging_face", None),
)
AS_ACCURATE = 0.01  # By how much means may differ for a result to be the same.
STEPS_PER_WINDOW = 2
BLOCKS = 5  # Into which the windows of a process are cut.


@dataclasses.dataclass(frozen=True)
class Entry:
  """A contender in one of its settings."""

  contender: str
  setting: str

  def __str__(self) -> str:
    return f"{self.contender} {self.setting}"


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


def measured_steps(entry: Entry, *, padded: int, epoch: int) -> int:
  """Steps that are a fair sample: padded ones all cost the same.

  Where lengths decide, batches differ; grouped by length, those of an epoch
  come in an order of length.
  """
  same = entry.setting.startswith("padded")
  return padded if same else max(padded, epoch)


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


def _paired(
  theirs: Sequence[Sequence[bool]] | None,
  ours: Sequence[Sequence[bool]] | None,
) -> str:
  """Says how far apart accuracies are, by pairs of the dev split."""
  if not theirs or not ours:
    return ""
  shares = [
    [mean_of(np.array(right), is_share=True) for right in runs]
    for runs in (theirs, ours)
  ]
  apart = compare_means(*shares)
  low, high = apart.interval
  return (
    f" ({apart.difference:+.4f} [{low:+.4f}, {high:+.4f}] "
    f"by pair, p = {apart.p:.2g})"
  )


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """A line for each row: rates, or seconds where they are of whole commands."""
  unit = rows[0]["unit"]
  lines = [f"{'':32} {unit:>10} [95 % interval]   peak memory   accuracy"]
  for found in rows:
    summary, scores = found["summary"], found["accuracies"]
    low, high = summary["interval"]
    value = summary["median"] if unit == "s" else total(summary["samples"])
    score = f"{statistics.mean(scores):8.4f}" if scores else "       -"
    name = f"{found['contender']} {found['setting']}"
    memory = found["peak_memory_bytes"] / 1e9
    lines.append(
      f"{name:32} {value:10.1f} [{low:.1f}, {high:.1f}]"
      f"{memory:14.1f} GB   {score}"
    )
  return lines


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """What Apsis reached of its goals, for what was run.

  To be faster as a whole command counts only where it is as accurate.
  """
  whole = rows[0]["unit"] == "s"
  found = {Entry(x["contender"], x["setting"]): x for x in rows}
  rates = {
    entry: [[1 / x if whole else x for x in group] for group in samples]
    for entry, each in found.items()
    for samples in [each["summary"]["samples"]]
  }
  best = fastest(rates, "apsis")
  lines = []
  for goal, contender, setting in WHOLE_GOALS if whole else GOALS:
    other = fastest(rates, contender, setting)
    if best is None or other is None:
      continue
    value, low, high = ratio(rates[best], rates[other])
    reached, told = value >= goal, ""
    if whole:
      ours, theirs = (
        statistics.mean(found[x]["accuracies"]) for x in (best, other)
      )
      reached &= ours >= theirs - AS_ACCURATE
      told = f" at accuracy {ours:.4f} beside {theirs:.4f}"
      told += _paired(*(found[x].get("right") for x in (other, best)))
    lines.append(
      f"{best} / {other}: {value:.2f} [{low:.2f}, {high:.2f}]{told}, "
      f"goal {goal}: {'reached' if reached else 'not reached'}"
    )
  return lines

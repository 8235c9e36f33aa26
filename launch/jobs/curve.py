"""Trains with parts of the training split, several seeds each."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from engine.config import ExperimentConfig
from engine.errors import UserError, quoted
from launch.command.imports import slow_imports
from launch.jobs import seeds

_MOST = 100  # Fractions.


def parse_fractions(texts: Sequence[str]) -> list[float]:
  """Reads fractions, in rising order.

  Raises:
    UserError: where one is none, or there twice.
  """
  found = []
  for text in texts:
    try:
      value = float(text)
    except ValueError:
      value = 0.0
    if not 0 < value <= 1 or len(texts) > _MOST:
      raise UserError(
        f"`train_fraction` is {quoted(text)}, but must be numbers above 0 and "
        "at most 1: 0.1,0.3,1."
      )
    found.append(value)
  if len(set(found)) < len(found):
    raise UserError(
      f"`train_fraction` is {quoted(','.join(texts))}, which has one twice: "
      "name each once."
    )
  return sorted(found)


def with_fraction(
  config: ExperimentConfig, fraction: float
) -> ExperimentConfig:
  """Returns a config that trains with a part of the training split.

  Raises:
    UserError: where the task has no such setting.
  """
  if not hasattr(config.task, "train_fraction"):
    raise UserError(
      f"`train_fraction` is given, but {config.task.name} is a task of your "
      "own: leave it out."
    )
  change: dict[str, Any] = {"train_fraction": fraction}
  task = dataclasses.replace(config.task, **change)
  return dataclasses.replace(config, task=task)


def train_curve(
  fractions: Sequence[float], text: str, config: ExperimentConfig, root: str
) -> int:
  """Trains each seed with each fraction, and reports the curve.

  Args:
    fractions: rising, two or more.
    text: the seeds, as `seeds.parse_seeds` reads them.
    config: of the runs.
    root: has `fraction_F/seed_N` of each, `curve.json` and `curve.html`.

  Returns:
    0; or the status of the first that has failed.

  Raises:
    UserError: where there are no seeds, by which noise is seen.
  """
  if not text:
    raise UserError(
      "`train_fraction` names several, whose runs differ by their seed too: "
      "add --seeds=0-2."
    )
  directories = {
    fraction: os.path.join(root, f"fraction_{fraction:g}")
    for fraction in fractions
  }
  for fraction, directory in directories.items():
    print(f"fraction {fraction:g}: {directory}", flush=True)
    status = seeds.train_each(
      text,
      with_fraction(config, fraction),
      directory,
      own=[f"--train_fraction={fraction:g}"],
    )
    if status:
      return status
  # Imported behind the runs: TensorFlow takes seconds.
  with slow_imports():
    from launch.pages import curve

  points = curve.read_curve(directories)
  told = curve.verdicts(directories)
  curve.write(points, told, root)
  print("\n".join([*curve.table(points), *told]), flush=True)
  return 0

"""The temperature of a run: fitted on a split, kept, asked for again."""

from collections.abc import Iterator, Mapping
from typing import Any

from engine.certainty.statistic import are_classes
from engine.errors import UserError
from engine.measure import per_example
from tasks.calibration import (
  ERRORS,
  before_and_after,
  fit_temperature,
  on_other_halves,
  read_calibration,
  shares_of,
  write_calibration,
)


def calibrate(
  model_dir: str, split: str, evaluated: tuple[str, ...]
) -> dict[str, Any]:
  """Fits a temperature on the newest evaluation of a split, and keeps it.

  What it mends is told of other splits, and of the split itself by halves, each
  with the temperature of the other one.

  Args:
    model_dir: of the run.
    split: that is fitted on.
    evaluated: all splits.

  Returns:
    What `calibration.json` holds.

  Raises:
    UserError: where the examples are not of classes, or not there.
  """
  tables = {name: per_example.read(model_dir, name) for name in evaluated}
  table = tables[split]
  if table is None or not are_classes(table) or len(table["labels"]) < 2:
    raise UserError(
      f"`calibrate` is {split!r}, but {model_dir} has kept no logits of "
      "classes of it: only those have a temperature."
    )
  labels, logits = table["labels"], table["outputs"]
  temperature = fit_temperature(labels, logits)
  reports = {split: on_other_halves(labels, logits)}
  for name, other in tables.items():
    if name != split and other is not None and are_classes(other):
      shares = (shares_of(other["outputs"], x) for x in (1.0, temperature))
      reports[name] = before_and_after(other["labels"], *shares)
  found = {
    "temperature": temperature,
    "split": split,
    "step": int(table["step"]),
    "reports": reports,
  }
  write_calibration(model_dir, found)
  return found


def temperature_of(model_dir: str, step: int) -> float:
  """Returns the temperature of the weights of a step.

  Raises:
    UserError: where there is none, or that of other weights.
  """
  found = read_calibration(model_dir)
  if found is None:
    raise UserError(
      f"`calibrated` is given, but {model_dir} has no temperature: train with "
      "--calibrate=dev, also a finished run."
    )
  if found["step"] != step:
    raise UserError(
      f"`calibrated` is given, but the temperature is that of step "
      f"{found['step']}, and these weights are of step {step}: take "
      "--checkpoint=newest, or calibrate again."
    )
  return float(found["temperature"])


def lines(found: Mapping[str, Any]) -> Iterator[str]:
  """Yields what a temperature mends, a line for each split."""
  yield (
    f"temperature {found['temperature']:.4f}, fitted on {found['split']} at "
    f"step {found['step']}"
  )
  for name, report in found["reports"].items():
    values = "  ".join(
      f"{error} {report['before'][error]:.4f} -> {report['after'][error]:.4f}"
      for error in ERRORS
    )
    how = ", by halves" if name == found["split"] else ""
    yield (
      f"  {name}{how} ({report['examples']} examples)  {values}; an ece of "
      f"{report['least']['ece']:.4f} is chance"
    )

"""Whether a share of 0.8 is right in 8 of 10 cases, and what mends it."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.errors import Damaged, Missing
from engine.files import write_json
from engine.formats import NUMBER, read_json

BINS = 10  # Of confidences.
ERRORS = ("ece", "brier", "nll")
_LIMITS = (1e-3, 1e3)  # Of a temperature.
_HALVINGS = 100  # At most; of so many examples together:
_HALVED = 100_000
_FILE = "calibration.json"  # In the directory of a run.
_EACH = dict.fromkeys(ERRORS, NUMBER)
_SHAPE = {
  "temperature": NUMBER,
  "split": str,
  "step": int,
  "reports": {
    str: {
      "before": _EACH,
      "after": _EACH,
      "least": {"ece": NUMBER},
      "examples": int,
    }
  },
}


def shares_of(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
  """Returns shares [..., classes] that sum to 1, float64."""
  scaled = np.asarray(logits, np.float64) / temperature
  powers = np.exp(scaled - scaled.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)


def errors_of(labels: np.ndarray, shares: np.ndarray) -> dict[str, float]:
  """Returns how far shares are from the labels, in three ways.

  Args:
    labels: int [examples].
    shares: of the classes, [examples, classes].

  Returns:
    `ece`, the expected calibration error; `brier`, the mean squared distance
    from the label (Brier, 1950: of two classes from 0 to 2); `nll`, the mean
    negative logarithm of the label's share.
  """
  sure, right = shares.max(-1), shares.argmax(-1) == labels
  there = np.arange(shares.shape[-1]) == labels[:, None]
  least = np.finfo(np.float64).tiny
  of_label = np.maximum(shares[there], least)
  return {
    "ece": bins(sure, right)[2],
    "brier": float(np.square(shares - there).sum(-1).mean()),
    "nll": float(-np.log(of_label).mean()),
  }


def bins(
  sure: np.ndarray, right: np.ndarray
) -> tuple[list[float], list[float], float]:
  """Confidence and accuracy of bins, and the expected calibration error.

  The error is the mean distance of the two, weighted by the examples of a bin
  (Naeini et al., AAAI 2015; Guo et al., arXiv 1706.04599).

  Args:
    sure: the largest share of each example, [examples].
    right: whether its class is the label, [examples].
  """
  place = np.minimum((sure * BINS).astype(int), BINS - 1)
  confidences, accuracies, error = [], [], 0.0
  for i in np.unique(place):
    here = place == i
    confidences.append(float(sure[here].mean()))
    accuracies.append(float(right[here].mean()))
    error += here.mean() * abs(confidences[-1] - accuracies[-1])
  return confidences, accuracies, float(error)


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> float:
  """Returns the temperature of the least negative log-likelihood.

  Logits are divided by it (Guo et al., arXiv 1706.04599): no prediction
  changes, but how sure each is.

  Args:
    labels: int [examples].
    logits: [examples, classes].
  """
  # Imported here: SciPy costs a moment.
  from scipy import optimize

  found = optimize.minimize_scalar(
    lambda x: errors_of(labels, shares_of(logits, np.exp(x)))["nll"],
    bounds=np.log(_LIMITS),
    method="bounded",
  )
  return float(np.exp(found.x))


def on_other_halves(labels: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
  """Returns the errors before and after, on pairs that were not fitted on.

  Each half of the examples has the temperature of the other one; the errors
  are means over many random halvings, since those of one vary.

  Args:
    labels: int [examples], two or more.
    logits: [examples, classes].
  """
  random, found = np.random.default_rng(0), []
  for _ in range(max(1, min(_HALVINGS, _HALVED // len(labels)))):
    order = random.permutation(len(labels))
    after = np.empty(logits.shape)
    for k in (0, 1):
      own, other = order[k::2], order[1 - k :: 2]
      temperature = fit_temperature(labels[other], logits[other])
      after[own] = shares_of(logits[own], temperature)
    found.append(before_and_after(labels, shares_of(logits), after))
  mean = lambda kind: {
    error: float(np.mean([x[kind][error] for x in found]))
    for error in found[0][kind]
  }
  return {kind: mean(kind) for kind in ("before", "after", "least")} | {
    "examples": len(labels)
  }


def before_and_after(
  labels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> dict[str, Any]:
  """Returns the errors of two ways to share out the same examples.

  And, as `least`, the `ece` that is to be expected of so few examples if the
  second way were right: labels drawn from its shares do not meet it either.
  """
  random, sure = np.random.default_rng(0), after.max(-1)
  drawn = [bins(sure, random.random(len(sure)) < sure)[2] for _ in range(100)]
  return {
    "before": errors_of(labels, before),
    "after": errors_of(labels, after),
    "least": {"ece": float(np.mean(drawn))},
    "examples": len(labels),
  }


def write_calibration(directory: str, found: Mapping[str, Any]) -> None:
  """Keeps a temperature, and what it mends, with its run."""
  write_json(os.path.join(directory, _FILE), found)


def read_calibration(directory: str) -> dict[str, Any] | None:
  """Reads what `write_calibration` has kept; None where there is nothing.

  Raises:
    Unreadable: where it cannot be used.
  """
  path = os.path.join(directory, _FILE)
  try:
    found = read_json(path, _SHAPE)
  except Missing:
    return None
  if not _LIMITS[0] / 2 < found["temperature"] < _LIMITS[1] * 2:
    raise Damaged(path, "is damaged (its temperature cannot be one)")
  return found

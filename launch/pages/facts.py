"""What a page shows of a run: its files read, its numbers made."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.durability.run_directory import RunDirectory
from engine.errors import UserError
from engine.measure import per_example as examples
from engine.measure.line_file import read_jsonl
from engine.settings import flatten
from tasks.sentence_pair import read_classes

_BINS = 10  # Of a calibration.


@dataclasses.dataclass(frozen=True)
class Run:
  """What the directory of a run says.

  Attributes:
    name: of the directory.
    config: dotted name of a setting -> value.
    lines: of `metrics.jsonl`.
    result: of the finished run; {} while it goes on.
    splits: name of an evaluated split -> its `engine.measure.per_example`.
    classes: names of the classes; none for a score, or where no name is known.
  """

  name: str
  config: Mapping[str, Any]
  lines: Sequence[Mapping[str, Any]]
  result: Mapping[str, Any]
  splits: Mapping[str, Mapping[str, np.ndarray]]
  classes: Sequence[str]

  @classmethod
  def read(cls, directory: str) -> "Run":
    """Reads a run, finished or not.

    Raises:
      UserError: where the directory holds none.
    """
    kept = RunDirectory(directory)
    values = kept.read_config()
    if values is None:
      raise UserError(f"{directory} holds no run: there is no config.yaml.")
    config = flatten(values)
    names = config.get("evaluation.split", "").split(",")
    found = {name: examples.read(directory, name) for name in names}
    return cls(
      name=os.path.basename(os.path.abspath(directory)),
      config=config,
      lines=read_jsonl(os.path.join(directory, "metrics.jsonl")),
      result=kept.result() or {},
      splits={name: table for name, table in found.items() if table},
      classes=read_classes(os.path.join(directory, "assets")),
    )

  def points(self, kind: str, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of a number in the log points of a kind."""
    found = [
      (line["step"], line[name])
      for line in self.lines
      if line["kind"] == kind and isinstance(line.get(name), int | float)
    ]
    return [step for step, _ in found], [value for _, value in found]


def _are_scores(table: Mapping[str, np.ndarray]) -> bool:
  """Whether there is one number for each example: a task may do otherwise."""
  outputs, labels = table.get("outputs"), table["labels"]
  return outputs is not None and outputs.shape == (*labels.shape, 1)


def _are_classes(table: Mapping[str, np.ndarray]) -> bool:
  """Whether there are logits of classes for each example."""
  outputs, labels = table.get("outputs"), table["labels"]
  return (
    outputs is not None
    and outputs.ndim == 2
    and outputs.shape[1] > 1
    and labels.ndim == 1
    and labels.dtype.kind in "iu"
    and 0 <= labels.min() <= labels.max() < outputs.shape[1]
  )


def calibration(
  sure: np.ndarray, right: np.ndarray
) -> tuple[list[float], list[float], float]:
  """Confidence and accuracy of bins, and the expected calibration error.

  The error is the mean distance of the two, weighted by the examples of a bin
  (Naeini et al., AAAI 2015; Guo et al., arXiv 1706.04599).

  Args:
    sure: the largest share of each example, [examples].
    right: whether its class is the label, [examples].
  """
  bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
  confidences, accuracies, error = [], [], 0.0
  for i in np.unique(bins):
    here = bins == i
    confidences.append(float(sure[here].mean()))
    accuracies.append(float(right[here].mean()))
    error += here.mean() * abs(confidences[-1] - accuracies[-1])
  return confidences, accuracies, float(error)


def _softmax(outputs: np.ndarray) -> np.ndarray:
  powers = np.exp(outputs - outputs.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)

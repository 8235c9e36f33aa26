"""A run as its files say it is, finished or not."""

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

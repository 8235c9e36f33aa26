"""What timed steps worked on."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from engine.task import Layout


@dataclasses.dataclass
class Work:
  """What the steps that count in a rate have worked on, and for how long.

  Attributes:
    steps: that were timed.
    examples: in their batches.
    units: real units of work in them.
    capacity: units that their shapes could hold.
    flops: operations on the real units; None where some were not counted.
    executed_flops: of these, what was executed; likewise.
    seconds: that the steps took.
  """

  steps: int = 0
  examples: int = 0
  units: int = 0
  capacity: int = 0
  flops: float | None = 0.0
  executed_flops: float | None = 0.0
  seconds: float = 0.0

  @classmethod
  def read(cls, values: Mapping[str, Any]) -> "Work":
    """Returns what a file of a run holds of the shape `WORK`."""
    known = {x.name for x in dataclasses.fields(cls)}
    return cls(**{k: v for k, v in values.items() if k in known})

  def add(self, examples: int, layout: Layout) -> None:
    """Adds one step."""
    self.steps += 1
    self.examples += examples
    self.units += layout.units
    self.capacity += layout.capacity
    if self.flops is not None and self.executed_flops is not None:
      self.flops += layout.flops
      self.executed_flops += layout.executed_flops


WORK = {  # In a file.
  **{f"{x}?": int for x in ("steps", "examples", "units", "capacity")},
  "flops?": int | float | None,
  "executed_flops?": int | float | None,
  "seconds?": int | float,
}

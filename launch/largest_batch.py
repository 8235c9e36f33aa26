"""How many rows of a batch fit one device, in few compilations.

Temporaries grow in a line with the rows, so two compilations show where the
memory ends. Behind that point the compiler recomputes to save memory, at the
price of FLOPs, until it refuses. A refusal takes seconds and an acceptance
minutes, so a search comes from above.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class LargestBatch:
  """The answer.

  Attributes:
    rows: that fit one device; None where it could not be found.
    how: "line" (read off two compilations) or "compiled".
    tried: rows -> "compiled", or why not: "memory", "timeout", ...
  """

  rows: int | None
  how: str
  tried: dict[int, str]


def find_largest(
  compile_rows: Callable[[int], Mapping[str, Any]],
  *,
  rows: int,
  granted: int,
  search: bool,
) -> LargestBatch:
  """Finds how many rows fit.

  Args:
    compile_rows: rows of one device -> what `launch.tpu_compile` says.
    rows: to begin with.
    granted: bytes of a device that the compiler grants.
    search: compile the largest that fits, instead of reading it off the line.
  """
  tried: dict[int, Mapping[str, Any]] = {}

  def fits(trial: int) -> bool:
    if trial not in tried:
      tried[trial] = compile_rows(trial)
    return tried[trial]["ok"]

  def answer(found: int | None, how: str) -> LargestBatch:
    kinds = {n: said.get("kind", "compiled") for n, said in tried.items()}
    return LargestBatch(found, how, dict(sorted(kinds.items())))

  while rows and not fits(rows):
    rows //= 2
  # Factor 4 where nothing was refused: the longer, the better the line.
  others = [4 * rows, 2 * rows] if len(tried) == 1 else [rows // 2]
  other = next((trial for trial in others if trial and fits(trial)), None)
  if not rows or other is None:
    return answer(rows or None, "compiled")
  small, large = (tried[n] for n in sorted((rows, other)))
  growth = large["temporary_bytes"] - small["temporary_bytes"]
  if growth <= 0:
    return answer(max(rows, other), "compiled")
  free = granted - sum(
    large[part] for part in ("held_bytes", "temporary_bytes", "code_bytes")
  )
  found = max(rows, other) + int(free * abs(rows - other) / growth)
  trial = rounded(2 * found)
  while search and trial > max(rows, other):
    if fits(trial):
      return answer(trial, "compiled")
    trial = rounded(trial * 7 // 8)
  return answer(rounded(found), "line")


def rounded(rows: int) -> int:
  """Rounds down to what a user would choose: multiples of 8."""
  return rows - rows % 8 if rows >= 16 else rows

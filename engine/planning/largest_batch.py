"""How many examples of a batch fit one device, in few compilations.

Memory grows in a line with the examples, so two compilations show where the
memory ends. Behind that point the compiler recomputes to save memory, at the
price of FLOPs, until it refuses. A refusal takes seconds and an acceptance
minutes, so a search comes from above.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from engine.planning.compiler import needed_bytes


@dataclasses.dataclass(frozen=True)
class LargestBatch:
  """The answer.

  Attributes:
    examples: that fit one device; None where it could not be found.
    how: "line" (read off two compilations) or "compiled".
    tried: examples -> "compiled", or why not: "memory", "timeout", ...
  """

  examples: int | None
  how: str
  tried: dict[int, str]


def find_largest(
  compile_examples: Callable[[int], Mapping[str, Any]],
  *,
  examples: int,
  granted: int,
  search: bool,
) -> LargestBatch:
  """Finds how many examples fit.

  Args:
    compile_examples: examples of one device -> what `device_compile` says,
      and `ahead_bytes`.
    examples: to begin with.
    granted: bytes of a device that the compiler grants.
    search: compile the largest that fits, instead of reading it off the line.
  """
  tried: dict[int, Mapping[str, Any]] = {}

  def fits(trial: int) -> bool:
    if trial not in tried:
      tried[trial] = compile_examples(trial)
    return tried[trial]["ok"]

  def answer(found: int | None, how: str) -> LargestBatch:
    kinds = {n: said.get("kind", "compiled") for n, said in tried.items()}
    return LargestBatch(found, how, dict(sorted(kinds.items())))

  while examples and not fits(examples):
    examples //= 2
  # Factor 4 where nothing was refused: the longer, the better the line.
  others = [4 * examples, 2 * examples] if len(tried) == 1 else [examples // 2]
  other = next((trial for trial in others if trial and fits(trial)), None)
  if not examples or other is None:
    return answer(examples or None, "compiled")
  small, large = (tried[n] for n in sorted((examples, other)))
  growth = needed_bytes(large) - needed_bytes(small)
  if growth <= 0:
    return answer(max(examples, other), "compiled")
  free = granted - needed_bytes(large)
  found = max(examples, other) + int(free * abs(examples - other) / growth)
  trial = rounded(2 * found)
  while search and trial > max(examples, other):
    if fits(trial):
      return answer(trial, "compiled")
    trial = rounded(trial * 7 // 8)
  return answer(rounded(found), "line")


def rounded(examples: int) -> int:
  """Rounds down to what a user would choose: multiples of 8."""
  return examples - examples % 8 if examples >= 16 else examples

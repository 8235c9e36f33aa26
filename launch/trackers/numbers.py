"""What of a log point a tracker takes: numbers, by dotted names."""

from collections.abc import Mapping
from typing import Any

from engine.settings import flatten


def numbers_of(point: Mapping[str, Any]) -> dict[str, float]:
  """Returns the numbers of a point, those of mappings in it too."""
  return {
    name: float(value)
    for name, value in flatten(point).items()
    if isinstance(value, int | float) and not isinstance(value, bool)
  }

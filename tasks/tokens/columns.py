"""Values of pairs that stay where they are until a batch asks for them."""

import dataclasses
from collections.abc import Callable

import numpy as np


class Column:
  """Values of pairs that are read when they are asked for.

  `column[indices]`, of int64 [n], are values [n].
  """

  def __init__(self, read: Callable[[np.ndarray], np.ndarray]):
    self._read = read

  def __getitem__(self, indices: np.ndarray) -> np.ndarray:
    return self._read(np.asarray(indices, np.int64))


@dataclasses.dataclass(frozen=True)
class Lengths:
  """Tokens of each pair of a store, as an array has them.

  Attributes:
    at: indices -> lengths, int64 [n].
    pairs: how many there are.
    total: of the tokens.
    squares: sum of the squared lengths.
    longest: tokens of a pair.
  """

  at: Callable[[np.ndarray], np.ndarray]
  pairs: int
  total: int
  squares: int
  longest: int

  def __len__(self) -> int:
    return self.pairs

  def __getitem__(self, indices: np.ndarray) -> np.ndarray:
    return self.at(indices)

  def max(self) -> int:
    """Tokens of the longest."""
    return self.longest

  def mean(self) -> float:
    """Tokens of a pair."""
    return self.total / self.pairs

  def std(self) -> float:
    """Standard deviation; of integers, so it is exact."""
    return (self.pairs * self.squares - self.total**2) ** 0.5 / self.pairs

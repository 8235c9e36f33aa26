"""Pairs as token ids, one after the other in one array."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np

from engine.task import digest_of
from tasks.data.sentences import Sentences, sentences_of_tokens


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
  """Pairs as `[CLS] a [SEP] b [SEP]`, one after the other.

  Attributes:
    ids: int32 [tokens of all pairs].
    starts: int64 [pairs + 1], where each pair starts in `ids`.
    first: int32 [pairs], tokens of `[CLS] a [SEP]`.
    truncated: how many pairs were cut to the maximal length.
  """

  ids: np.ndarray
  starts: np.ndarray
  first: np.ndarray
  truncated: int

  @classmethod
  def of(
    cls, pieces: Sequence[list[int]], first: Sequence[int], truncated: int
  ) -> "EncodedPairs":
    """Lays the ids of pairs one after the other."""
    lengths = [len(ids) for ids in pieces]
    return cls(
      ids=np.fromiter(
        itertools.chain.from_iterable(pieces), np.int32, sum(lengths)
      ),
      starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
      first=np.array(first, np.int32),
      truncated=truncated,
    )

  def __len__(self) -> int:
    return len(self.first)

  @functools.cached_property
  def lengths(self) -> np.ndarray:
    """Tokens of each pair, int64 [pairs]."""
    return np.diff(self.starts)

  @property
  def sample(self) -> np.ndarray:
    """Lengths that are like those of all pairs: here they are all."""
    return self.lengths

  @property
  def longest(self) -> int:
    """Tokens that a pair can have."""
    return int(self.lengths.max(initial=1))

  @property
  def sentences(self) -> Sentences:
    """What tells sentences apart, as far as tokens do."""
    return sentences_of_tokens(self.ids, self.starts, self.first)

  def digest(self) -> int:
    """32 bits of all pairs."""
    return digest_of(self.ids, self.starts, self.first)

  def lengths_at(self, indices: np.ndarray) -> np.ndarray:
    """Returns the tokens of some pairs, int64 [n]."""
    return self.lengths[indices]

  def pick(self, indices: np.ndarray) -> "EncodedPairs":
    """Returns some pairs."""
    lengths = self.lengths[indices]
    return EncodedPairs(
      ids=self.ids[spans(self.starts[indices], lengths)],
      starts=np.concatenate([[0], np.cumsum(lengths)]),
      first=self.first[indices],
      truncated=0,
    )

  @classmethod
  def joined(cls, parts: Sequence["EncodedPairs"]) -> "EncodedPairs":
    """Returns the pairs of all parts, in their order."""
    lengths = np.concatenate([part.lengths for part in parts])
    return cls(
      ids=np.concatenate([part.ids for part in parts]),
      starts=np.concatenate([[0], np.cumsum(lengths)]),
      first=np.concatenate([part.first for part in parts]),
      truncated=sum(part.truncated for part in parts),
    )

  def dense(self, length: int | None = None) -> dict[str, np.ndarray]:
    """Returns the arrays that Model Garden's models take.

    Args:
      length: of a row; by default that of the longest pair.

    Returns:
      int32 `input_word_ids`, `input_mask` and `input_type_ids`, each
      [pairs, length].
    """
    lengths = self.lengths[:, None]
    length = length or int(lengths.max(initial=1))
    position = np.arange(length)[None, :]
    real = position < lengths
    words = np.zeros(real.shape, np.int32)
    words[real] = self.ids
    second = real & (position >= self.first[:, None])
    return {
      "input_word_ids": words,
      "input_mask": real.astype(np.int32),
      "input_type_ids": second.astype(np.int32),
    }


def spans(firsts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
  """Numbers from each of `firsts` on, as many as `lengths` says: int64."""
  before = np.cumsum(lengths) - lengths
  return np.arange(lengths.sum()) + np.repeat(firsts - before, lengths)

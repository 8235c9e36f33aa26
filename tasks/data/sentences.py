r"""Which sentences are the same, whatever their case, spaces and punctuation.

Words and numbers count, as `\w+` finds them: `It 's 1.5 %` and `it's 1.5%` are
the same, and `it's 15%` is another.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

_SPACE = 32
# Of ASCII: a word in lower case, the end of a text, or a space.
_TABLE = bytes(
  ord(chr(code).lower())
  if code == 10 or (code < 128 and re.match(r"\w", chr(code)))
  else _SPACE
  for code in range(256)
)
_OTHERS = re.compile(r"\W+")
_MASK = 2**63 - 1  # Digests are int64.
_BLOCK = 8192  # Texts that are looked at together.


class Sentences(NamedTuple):
  """Digests of the sentences of some pairs.

  Attributes:
    first: int64 [pairs].
    second: likewise; None where there is one sentence only.
  """

  first: np.ndarray
  second: np.ndarray | None

  @property
  def all(self) -> np.ndarray:
    """Digests of all sentences, the first ones before: int64."""
    if self.second is None:
      return self.first
    return np.concatenate([self.first, self.second])

  def pairs(self, *, ordered: bool = False) -> np.ndarray:
    """Returns a digest of each pair, uint64 [pairs].

    Args:
      ordered: whether a pair in the other order is another one.
    """
    if self.second is None:
      return self.first.astype(np.uint64)
    first, second = self.first, self.second
    if not ordered:
      first, second = np.minimum(first, second), np.maximum(first, second)
    mixed = first.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed += second.astype(np.uint64)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(32))


def digests_of(texts: Sequence[str]) -> np.ndarray:
  """Returns what tells sentences apart, int64 [texts]: 63 bits of each.

  They are of its words; of its signs, if it has none.
  """
  found = [np.zeros(0, np.int64)]
  for start in range(0, len(texts), _BLOCK):
    block = texts[start : start + _BLOCK]
    words = words_of(block)
    if b"" in words:
      words = [
        w or text.encode(errors="surrogatepass")
        for w, text in zip(words, block, strict=True)
      ]
    found.append(tf.strings.to_hash_bucket_fast(words, _MASK).numpy())
  return np.concatenate(found)


def words_of(texts: Sequence[str]) -> list[bytes]:
  """Returns the words of each text, in lower case, with a space between."""
  lines = "\n".join([*texts, ""])
  if not lines.isascii() or lines.count("\n") != len(texts):
    return [_OTHERS.sub(" ", _folded(x)).strip().encode() for x in texts]
  signs = np.frombuffer(lines.encode().translate(_TABLE), np.uint8)
  kept = signs != _SPACE
  kept[:-1] |= signs[1:] > _SPACE  # Of some spaces the one before a word.
  rest = signs[kept].tobytes().replace(b"\n ", b"\n").lstrip(b" ")
  return rest.split(b"\n")[:-1]


def _folded(text: str) -> str:
  if text.isascii():
    return text.lower()
  return unicodedata.normalize("NFKC", text).casefold()


def sentences_of_tokens(
  ids: np.ndarray, starts: np.ndarray, first: np.ndarray
) -> Sentences:
  """Returns the sentences of encoded pairs, as their tokens have them.

  Args:
    ids: of all pairs, one after the other.
    starts: int64 [pairs + 1], where each pair starts.
    first: int32 [pairs], tokens of the first sentence and its special ones.
  """
  if not len(first):
    return Sentences(np.zeros(0, np.int64), np.zeros(0, np.int64))
  cuts = np.stack([starts[:-1], starts[:-1] + first], -1).reshape(-1)
  lengths = np.diff(np.append(cuts, starts[-1]))
  places = np.arange(len(ids)) - np.repeat(cuts, lengths)
  # What stands before the first sentence stands before no second one.
  places -= np.repeat(np.tile([1, 0], len(first)), lengths)
  powers = _powers(int(places.max(initial=0)) + 1)
  mixed = (ids.astype(np.uint64) + np.uint64(1)) * np.where(
    places >= 0, powers[places], np.uint64(0)
  )
  mixed ^= mixed >> np.uint64(31)
  sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed)])
  found = sums[cuts + lengths] - sums[cuts]
  digests = (found & np.uint64(_MASK)).astype(np.int64).reshape(-1, 2)
  single = bool((lengths[1::2] == 0).all())
  return Sentences(digests[:, 0], None if single else digests[:, 1])


def _powers(number: int) -> np.ndarray:
  """Odd numbers, the same ones in each call: uint64 [number]."""
  words = np.random.Philox(key=[0, 1]).random_raw(number)
  return np.asarray(words, np.uint64) | np.uint64(1)

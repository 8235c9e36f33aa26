"""Sentence pairs in memory, and how a line of text holds one."""

import dataclasses
import itertools
import json
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from engine.errors import UserError


@dataclasses.dataclass(frozen=True)
class Pairs:
  """The pairs of one split.

  Attributes:
    texts_a: first sentences.
    texts_b: second sentences; None where there is one only.
    labels: a class or a score for each pair; None where they are not known.
    ids: a stable name for each pair.
    weights: of each pair in training; None: all weigh the same.
  """

  texts_a: Sequence[str]
  texts_b: Sequence[str] | None
  labels: Sequence[float] | None
  ids: Sequence[int | str]
  weights: Sequence[float] | None = None

  def __len__(self) -> int:
    return len(self.texts_a)

  def texts(self, index: int) -> str:
    """Returns the sentences of a pair in one line."""
    if self.texts_b is None:
      return self.texts_a[index]
    return f"{self.texts_a[index]} | {self.texts_b[index]}"

  @property
  def digests(self) -> np.ndarray:
    """64 bits of the sentences of each pair, uint64 [pairs]."""
    seconds = itertools.repeat("") if self.texts_b is None else self.texts_b
    each = map(digest_of_texts, self.texts_a, seconds)
    return np.fromiter(each, np.uint64, len(self))

  def __getitem__(self, place: slice) -> "Pairs":
    """Returns some pairs in a row."""
    columns = (getattr(self, f.name) for f in dataclasses.fields(self))
    return Pairs(*(None if x is None else x[place] for x in columns))


def digest_of_texts(text_a: str, text_b: str) -> int:
  """Returns 64 bits of the sentences of a pair, the same in each process."""
  return zlib.crc32(text_a.encode()) << 32 | zlib.crc32(text_b.encode())


def parse_pairs(lines: Iterable[tuple[str, str]], *, single: bool) -> Pairs:
  """Reads unlabelled pairs, one of each line.

  Args:
    lines: (place, line) of each, as `parse_pair` takes them.
    single: whether there is a first sentence only.

  Raises:
    UserError: at the first line that is no pair.
  """
  pairs = [parse_pair(line, place, single=single) for place, line in lines]
  texts_a, *texts_b = zip(*pairs, strict=True)
  return Pairs(texts_a, *texts_b or [None], None, range(len(pairs)))


def parse_pair(
  line: str, place: str, *, single: bool = False
) -> tuple[str, ...]:
  """Reads an unlabelled pair: `a TAB b`, or {"text_a": ..., "text_b": ...}.

  Args:
    line: without its end.
    place: of it, for complaints.
    single: whether there is a first sentence only.

  Raises:
    UserError: naming the place, where the line is neither.
  """
  names = ("text_a",) if single else ("text_a", "text_b")
  if line.lstrip().startswith("{"):
    try:
      row = json.loads(line)
      texts = tuple(row[name] for name in names)
      if not all(isinstance(text, str) for text in texts):
        raise TypeError("they must be strings")
    except (json.JSONDecodeError, KeyError, TypeError) as error:
      raise UserError(
        f"{place}: no JSON object with {' and '.join(names)} ({error})."
      ) from error
  else:
    texts = tuple(line.split("\t"))
    if len(texts) != len(names):
      meant = "this run reads one" if single else "a pair has two, with a tab"
      raise UserError(f"{place}: {len(texts)} column(s), but {meant}.")
  for name, text in zip(("first", "second"), texts, strict=False):
    if not text.strip():
      raise UserError(f"{place}: the {name} sentence is empty.")
  return texts

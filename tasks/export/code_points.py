"""What becomes of each code point of Unicode, as tables for a graph.

Between a text and its words BERT's tokenizer looks at single code points: it
drops, lowers or decomposes them, and ends words at some. The tables hold that
tokenizer's own answers for all of them, so a graph that looks them up does as
it does, whatever versions of Unicode the graph's own operations know.

In one thing neighbours matter: marks behind a letter are put in canonical
order (Unicode Standard Annex 15) before accents are dropped. Marks that are
kept have a rank in it, and move across nothing that counts as a start.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

_COUNT = 0x110000
PAGE = 2**8  # Code points in a page; equal pages are one.
OWN = -1  # Among values: the code point itself.
_SURROGATES = range(0xD800, 0xE000)  # In no text.
_BETWEEN = "|"  # Stays as it is, whatever stands beside it.
_LETTER = "a"  # As well; and no word ends at it.
_EARLY, _LATE = "\u1b44", "\u302e"  # Two marks that are kept, in order.


@dataclasses.dataclass(frozen=True)
class CodePoints:
  """Tables, int32: code point -> page -> row -> values.

  Attributes:
    pages: [code points / PAGE], the number of a page.
    rows: [pages, PAGE], the number of a row.
    counts: [rows], how many values there are.
    firsts: [rows], the place of the first one.
    starts: [rows], 1 where no mark moves across; else 0.
    values: [all values], code points; a space ends a word.
    ranks: [all values], the rank of a mark, from 1 on; 0 for all else.
  """

  pages: np.ndarray
  rows: np.ndarray
  counts: np.ndarray
  firsts: np.ndarray
  starts: np.ndarray
  values: np.ndarray
  ranks: np.ndarray


def tables(
  normalize: Callable[[str], str], split: Callable[[str], Sequence[str]]
) -> CodePoints:
  """Asks a tokenizer about each code point.

  Args:
    normalize: text -> text.
    split: normalized text -> its words.
  """
  codes = [chr(c) for c in range(_COUNT) if c not in _SURROGATES]
  texts = _each(normalize, codes)
  apart = _apart(split, set().union(*texts))
  marks, ranks = _marks(normalize, codes, texts)
  # The first row: most stay what they are.
  kinds: dict[tuple[tuple[int, ...], tuple[int, ...], int], int] = {
    ((OWN,), (0,), 1): 0
  }
  row_of = np.zeros(_COUNT, np.int32)
  for code, text in zip(codes, texts, strict=True):
    if code != text or code in apart or code in marks:
      chars = "".join(f" {x} " if x in apart else x for x in text)
      values = tuple(OWN if x == code else ord(x) for x in chars)
      order = tuple(ranks.get(x, 0) for x in chars)
      kind = values, order, int(code not in marks)
      row_of[ord(code)] = kinds.setdefault(kind, len(kinds))
  found: dict[bytes, int] = {}
  pages = [
    found.setdefault(page.tobytes(), len(found))
    for page in row_of.reshape(-1, PAGE)
  ]
  counts = np.array([len(values) for values, _, _ in kinds], np.int32)
  flat = lambda parts: np.fromiter(itertools.chain(*parts), np.int32)
  return CodePoints(
    pages=np.array(pages, np.int32),
    rows=np.frombuffer(b"".join(found), np.int32).reshape(-1, PAGE),
    counts=counts,
    firsts=np.cumsum(counts, dtype=np.int32) - counts,
    starts=np.array([start for _, _, start in kinds], np.int32),
    values=flat(values for values, _, _ in kinds),
    ranks=flat(ranks for _, ranks, _ in kinds),
  )


def _each(
  normalize: Callable[[str], str],
  codes: Sequence[str],
  before: str = "",
  behind: str = "",
) -> list[str]:
  """Normalizes code points between others: one long text is quickest."""
  between = behind + _BETWEEN + before
  place = codes.index(_BETWEEN)  # Would be taken for what stands between.
  others = [*codes[:place], *codes[place + 1 :]]
  texts = normalize(before + between.join(others) + behind).split(_BETWEEN)
  assert len(texts) == len(others)
  return [
    *texts[:place],
    normalize(before + _BETWEEN + behind),
    *texts[place:],
  ]


def _apart(split: Callable[[str], Sequence[str]], chars: set[str]) -> set[str]:
  """Returns the characters of normalized texts that are words of their own."""
  words = set(split(_LETTER.join(["", *chars - {_LETTER}, ""])))
  assert chars - set("".join(words)) <= {" "}
  return chars & words - {_LETTER}


def _marks(
  normalize: Callable[[str], str], codes: Sequence[str], texts: Sequence[str]
) -> tuple[set[str], dict[str, int]]:
  """Finds the marks: others move across them.

  Returns:
    All of them, what is dropped before them among them; and of those that are
    kept 1 + how many kept ones go before them.
  """
  if normalize(_LATE + _EARLY) == _LATE + _EARLY:
    return set(), {}  # Nothing moves.
  moved = _each(normalize, codes, _LATE, _EARLY)
  marks, kept = set(), []
  for code, text, around in zip(codes, texts, moved, strict=True):
    if around.find(_EARLY) < around.find(_LATE):
      marks.add(code)
      if text == code:
        kept.append(code)
  before = lambda mark, other: normalize(mark + other) != mark + other
  return marks, {
    mark: 1 + sum(before(mark, other) for other in kept) for mark in kept
  }

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
from collections.abc import Callable, Iterator, Mapping, Sequence

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
  changed = _changed(normalize)
  apart = _apart(split, changed)
  marks, ranks = _marks(normalize, changed)
  # The first row: most stay what they are.
  kinds: dict[tuple[tuple[int, ...], tuple[int, ...], int], int] = {
    ((OWN,), (0,), 1): 0
  }
  row_of = np.zeros(_COUNT, np.int32)
  for code in sorted({*changed, *apart, *marks}):
    text = changed.get(code, code)
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


def _pages() -> Iterator[list[str]]:
  """Yields all code points that a text may have, a page at a time."""
  for first in range(0, _COUNT, PAGE):
    if first not in _SURROGATES:
      yield [chr(first + i) for i in range(PAGE)]


def _changed(
  normalize: Callable[[str], str], before: str = "", behind: str = ""
) -> dict[str, str]:
  """Returns what becomes of the code points that do not stay, between others.

  A page is one question: one text of all code points takes three times as long.
  """
  found: dict[str, str] = {}
  between = behind + _BETWEEN + before
  for page in _pages():
    page = [x for x in page if x != _BETWEEN]  # That one stays.
    asked = before + between.join(page) + behind
    if (told := normalize(asked)) == asked:
      continue
    found.update(
      (code, text)
      for code, text in zip(page, told.split(_BETWEEN), strict=True)
      if text != before + code + behind
    )
  return found


def _apart(
  split: Callable[[str], Sequence[str]], changed: Mapping[str, str]
) -> set[str]:
  """Returns the characters of normalized texts that are words of their own."""
  found: set[str] = set()
  made = {*"".join(changed.values())}
  for page in _pages():
    chars = [x for x in page if x not in changed or x in made]
    asked = _LETTER.join(["", *chars, ""])
    if (words := split(asked)) != [asked]:
      assert {*chars} - {*"".join(words)} <= {" "}
      found |= {*words} & {*chars}
  return found - {_LETTER}


def _marks(
  normalize: Callable[[str], str], changed: Mapping[str, str]
) -> tuple[set[str], dict[str, int]]:
  """Finds the marks: others move across them.

  Returns:
    All of them, what is dropped before them among them; and of those that are
    kept 1 + how many kept ones go before them.
  """
  if normalize(_LATE + _EARLY) == _LATE + _EARLY:
    return set(), {}  # Nothing moves.
  moved = _changed(normalize, _LATE, _EARLY)
  marks = {x for x, text in moved.items() if _moved(text)}
  kept = marks - changed.keys()
  before = lambda mark, other: normalize(mark + other) != mark + other
  return marks, {
    mark: 1 + sum(before(mark, other) for other in kept) for mark in kept
  }


def _moved(text: str) -> bool:
  """Whether the two marks have changed places."""
  return text.find(_EARLY) < text.find(_LATE)

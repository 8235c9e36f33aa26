"""Sentence pairs in memory, and how a line of text holds one."""

import dataclasses
import functools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import UserError
from tasks.data.json_lines import are_json, parse_record, value_of
from tasks.data.sentences import Sentences, digests_of

NO_ORDER = (
  "`symmetric` needs two sentences, but this run reads one: leave it out."
)


@dataclasses.dataclass(frozen=True)
class Pairs:
  """The pairs of one split.

  Attributes:
    texts_a: first sentences.
    texts_b: second sentences; None where there is one only.
    labels: a class or a score for each pair; None where they are not known.
    ids: a stable name for each pair.
    weights: of each pair in training; None: all weigh the same.
    unread: ids of rows that cannot be read, with what is wrong, of the first at
      least: they are none of these.
  """

  texts_a: Sequence[str]
  texts_b: Sequence[str] | None
  labels: Sequence[float] | None
  ids: Sequence[int | str]
  weights: Sequence[float] | None = None
  unread: Mapping[int, str] = dataclasses.field(
    default_factory=dict, repr=False
  )

  def __len__(self) -> int:
    return len(self.texts_a)

  def texts(self, index: int) -> list[str]:
    """Returns the sentences of a pair."""
    columns = self.texts_a, self.texts_b
    return [column[index] for column in columns if column is not None]

  @functools.cached_property
  def sentences(self) -> Sentences:
    """What tells sentences apart."""
    second = None if self.texts_b is None else digests_of(self.texts_b)
    return Sentences(digests_of(self.texts_a), second)

  def swapped(self) -> "Pairs":
    """Returns the pairs in their other order.

    Raises:
      UserError: where there is one sentence only.
    """
    if self.texts_b is None:
      raise UserError(NO_ORDER)
    first, second = self.texts_b, self.texts_a
    return dataclasses.replace(self, texts_a=first, texts_b=second)

  def chosen(self, indices: np.ndarray) -> "Pairs":
    """Returns some of the pairs, in the order of `indices`."""
    pick = lambda column: column and [column[i] for i in indices]
    columns = ("texts_a", "texts_b", "labels", "ids", "weights")
    some: dict[str, Any] = {name: pick(getattr(self, name)) for name in columns}
    return dataclasses.replace(self, **some)

  def unlabelled(self) -> "Pairs":
    """Returns the same pairs, of which nothing but the texts is known."""
    return dataclasses.replace(self, labels=None, weights=None, unread={})

  def __getitem__(self, place: slice) -> "Pairs":
    """Returns some pairs in a row."""
    part = lambda column: None if column is None else column[place]
    return Pairs(
      self.texts_a[place],
      part(self.texts_b),
      part(self.labels),
      self.ids[place],
      part(self.weights),
    )


def digest_of_texts(text_a: str, text_b: str) -> int:
  """Returns 64 bits of the sentences of a pair, the same in each process."""
  return zlib.crc32(text_a.encode()) << 32 | zlib.crc32(text_b.encode())


def parse_pairs(
  lines: Sequence[tuple[str, str]], *, single: bool, skips: bool = False
) -> Pairs:
  """Reads unlabelled pairs, one of each line; ids are the numbers of lines.

  Args:
    lines: (place, line) of each: all JSON, or all `a TAB b`.
    single: whether there is a first sentence only.
    skips: whether lines that are no pair are passed over.

  Raises:
    UserError: at the first line that is no pair.
  """
  is_json = are_json([line for _, line in lines])
  texts, ids, unread = [], [], {}
  for number, (place, line) in enumerate(lines):
    try:
      texts.append(parse_pair(line, place, single=single, is_json=is_json))
      ids.append(number)
    except UserError as error:
      if not skips:
        raise
      unread[number] = str(error)
  texts_b = None if single else [each[1] for each in texts]
  return Pairs([each[0] for each in texts], texts_b, None, ids, unread=unread)


def parse_pair(
  line: str, place: str, *, single: bool = False, is_json: bool = False
) -> tuple[str, ...]:
  """Reads an unlabelled pair: `a TAB b`, or {"text_a": ..., "text_b": ...}.

  Args:
    line: without its end.
    place: of it, for complaints.
    single: whether there is a first sentence only.
    is_json: whether it is JSON.

  Raises:
    UserError: naming the place, where the line is something else.
  """
  names = ("text_a",) if single else ("text_a", "text_b")
  if is_json:
    texts = _texts_of(line, place, names)
  else:
    texts = tuple(line.split("\t"))
    if len(texts) != len(names):
      meant = "this run reads one" if single else "a pair has two, with a tab"
      raise UserError(
        f"{place}: {len(texts)} column(s), but {meant}: name them in a header "
        "or by --columns, or say what the file holds by --file_format."
      )
  for name, text in zip(("first", "second"), texts, strict=False):
    if not text.strip():
      raise UserError(f"{place}: the {name} sentence is empty.")
  return texts


def _texts_of(line: str, place: str, names: Sequence[str]) -> tuple[str, ...]:
  """Returns the texts of a JSON object."""
  try:
    record = parse_record(line) or {}
    texts = [value_of(record, name) for name in names]
    if not all(isinstance(text, str) for text in texts):
      raise ValueError("they must be strings")
  except ValueError as error:
    raise UserError(
      f"{place}: no JSON object with {' and '.join(names)} ({error})."
    ) from error
  return tuple(texts)

"""Sentence pairs, and reading them from a file with clear complaints."""

import dataclasses
import json
from collections.abc import Iterator, Sequence

import tensorflow as tf

from engine.errors import UserError


@dataclasses.dataclass(frozen=True)
class Pairs:
  """The pairs of one split.

  Attributes:
    texts_a: first sentences.
    texts_b: second sentences.
    labels: a class for each pair; None where they are not known.
    ids: a stable name for each pair.
  """

  texts_a: Sequence[str]
  texts_b: Sequence[str]
  labels: Sequence[int] | None
  ids: Sequence[int | str]

  def __len__(self) -> int:
    return len(self.texts_a)


def read_lines(path: str) -> Iterator[tuple[str, str]]:
  """Yields (place, line) of a UTF-8 file; place is `file, line number`.

  Raises:
    UserError: where the file is missing or a line is not UTF-8.
  """
  try:
    with tf.io.gfile.GFile(path, "rb") as file:
      for number, raw in enumerate(file, 1):
        place = f"{path}, line {number}"
        yield place, decode(raw, place)
  except tf.errors.OpError as error:
    raise UserError(f"{path} cannot be read: {error.message}.") from error


def decode(raw: bytes, place: str) -> str:
  """Decodes one line, without its end.

  Raises:
    UserError: where it is not UTF-8.
  """
  try:
    return raw.decode("utf-8-sig").rstrip("\r\n")
  except UnicodeDecodeError as error:
    raise UserError(
      f"{place}: byte {raw[error.start]:#04x} is not UTF-8: save the file as "
      "UTF-8."
    ) from error


def read_tsv(path: str, *, split: str, classes: Sequence[str]) -> Pairs:
  """Reads the pairs of a split from a TSV with a header, quoting off.

  The columns `split`, `label`, `text_a` and `text_b` must be there; others
  are passed over.

  Raises:
    UserError: naming file and line, at the first fault.
  """
  lines = read_lines(path)
  _, header = next(lines, ("", ""))
  columns = header.split("\t")
  missing = {"split", "label", "text_a", "text_b"} - set(columns)
  if missing:
    raise UserError(
      f"{path} has the columns {columns}, but lacks {sorted(missing)}: name "
      "them in its first line."
    )
  texts_a, texts_b, labels, ids = [], [], [], []
  for number, (place, line) in enumerate(lines):
    row = dict(zip(columns, line.split("\t"), strict=False))
    if len(line.split("\t")) != len(columns):
      raise UserError(
        f"{place}: {len(line.split(chr(9)))} columns, but the header has "
        f"{len(columns)}."
      )
    if row["split"] != split:
      continue
    check_sentences(row["text_a"], row["text_b"], place)
    if row["label"] not in classes:
      raise UserError(
        f"{place}: the label {row['label']!r} is none of {list(classes)}."
      )
    texts_a.append(row["text_a"])
    texts_b.append(row["text_b"])
    labels.append(list(classes).index(row["label"]))
    ids.append(number)
  if not ids:
    raise UserError(f"{path} has no pair of the split {split!r}.")
  return Pairs(texts_a, texts_b, labels, ids)


def check_sentences(text_a: str, text_b: str, place: str) -> None:
  """Raises `UserError` where a sentence of a pair is empty."""
  for name, text in (("first", text_a), ("second", text_b)):
    if not text.strip():
      raise UserError(f"{place}: the {name} sentence is empty.")


def parse_pair(line: str, place: str) -> tuple[str, str]:
  """Reads an unlabelled pair: `a TAB b`, or {"text_a": ..., "text_b": ...}.

  Raises:
    UserError: naming the place, where the line is neither.
  """
  if line.lstrip().startswith("{"):
    try:
      row = json.loads(line)
      pair = row["text_a"], row["text_b"]
      if not all(isinstance(text, str) for text in pair):
        raise TypeError("both must be strings")
    except (json.JSONDecodeError, KeyError, TypeError) as error:
      raise UserError(
        f"{place}: no JSON object with text_a and text_b ({error})."
      ) from error
  else:
    pair = tuple(line.split("\t"))
    if len(pair) != 2:
      raise UserError(
        f"{place}: {len(pair)} column(s), but a pair has two, split by a tab."
      )
  check_sentences(*pair, place)
  return pair

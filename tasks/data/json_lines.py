"""JSON lines: an object a line, and the texts that it has."""

import json
from collections.abc import Collection
from typing import Any


def parse_record(text: str) -> dict[str, Any] | None:
  """Returns the object of a line; None where it is blank.

  Raises:
    ValueError: where it is something else.
  """
  if not text.strip():
    return None
  try:
    record = json.loads(text)
  except RecursionError as error:
    raise ValueError("no JSON object (it is nested too deep)") from error
  except json.JSONDecodeError as error:
    raise ValueError(f"no JSON object ({error})") from error
  except ValueError as error:
    raise ValueError("no JSON object (a number has too many digits)") from error
  if not isinstance(record, dict):
    raise ValueError("no JSON object, but something else")
  return record


def value_of(record: dict[str, Any], name: str) -> Any:
  """Returns what an object has under a name; None where it has none.

  Raises:
    ValueError: where no text can be like it.
  """
  value = record.get(name)
  if isinstance(value, str):
    _check_text(value, name)
  return value


def _check_text(text: str, name: str) -> None:
  r"""Refuses half a character, as JSON can have it: "\ud83d" and no more.

  Raises:
    ValueError: naming it.
  """
  try:
    text.encode()
  except UnicodeEncodeError as error:
    half = f"\\u{ord(text[error.start]):04x}"
    raise ValueError(
      f"{name!r} has {half}, half of a character (a lone surrogate)"
    ) from error


def are_json(lines: Collection[str]) -> bool:
  """Whether most lines that are not blank are JSON objects.

  The form is that of the whole: a text may begin with a brace.
  """
  filled = sum(bool(line.strip()) for line in lines)
  found = sum(map(_is_record, lines))
  return found > 0 and filled <= 2 * found


def _is_record(line: str) -> bool:
  if not line.lstrip().startswith("{"):
    return False
  try:
    return parse_record(line) is not None
  except ValueError:
    return False

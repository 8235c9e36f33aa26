"""What one cell of a row says: a text, a label or a weight.

Text files have texts alone, JSON lines numbers, truths and more. Here alone is
decided what these are.
"""

import json
import math
from typing import Any

from engine.errors import quoted
from tasks.label_text import fault_of, same

HEAVIEST = 1e30  # Weight of a pair: a batch of such adds up in float32.


def text_of(value: Any, name: str) -> str:
  """Returns a sentence.

  Args:
    value: of the cell.
    name: of the sentence, for complaints.

  Raises:
    ValueError: where it is none.
  """
  if isinstance(value, str):
    if not value.strip():
      raise ValueError(f"the {name} sentence is empty")
    return value
  _check_scalar(value, f"the {name} sentence")
  if isinstance(value, bool):
    said = json.dumps(value)
    raise ValueError(f"the {name} sentence is {said}, which is no text")
  return str(value)


def label_of(value: Any) -> str:
  """Returns a label as text; 1.0 and true are 1, as libraries write it.

  Raises:
    ValueError: where it is none.
  """
  _check_scalar(value, "the label")
  whole = isinstance(value, float) and value.is_integer()
  if whole or isinstance(value, bool):
    value = int(value)
  label = str(value).strip()
  fault = fault_of(label)
  if fault:
    said = f" {quoted(label)}" if label else ""
    raise ValueError(f"the label{said} {fault}")
  return label


def is_left_out(value: Any, word: str) -> bool:
  """Whether a cell has the word of pairs that nobody has labelled.

  Args:
    value: of the cell.
    word: null and nan mean those of JSON as well.
  """
  if value is None or value != value:
    return json.dumps(value).lower() == word.lower()
  if isinstance(value, list | dict):
    return False
  text = value.strip() if isinstance(value, str) else label_of(value)
  return same(text) == same(word)


def weight_of(value: Any) -> float:
  """Returns the weight of a pair.

  Raises:
    ValueError: where it is none.
  """
  try:
    if isinstance(value, bool):
      raise TypeError("a truth is no weight")
    weight = float(value)
  except (TypeError, ValueError, OverflowError):
    weight = math.nan
  if not 0.0 <= weight <= HEAVIEST:
    raise ValueError(
      f"the weight {quoted(str(value))} is no number of 0 or more, up to "
      f"{HEAVIEST:g}"
    )
  return weight


def _check_scalar(value: Any, what: str) -> None:
  if isinstance(value, list | dict):
    kind = "a list" if isinstance(value, list) else "an object"
    raise ValueError(f"{what} is {kind}, but must be a text or a number")
  if isinstance(value, float) and not math.isfinite(value):
    raise ValueError(f"{what} is {json.dumps(value)}, so there is none")

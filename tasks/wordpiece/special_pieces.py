"""The special pieces of a tokenizer: BERT's five by name, and more of them."""

import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from engine.errors import UserError, quoted, shortened

NAMES = {  # Hugging Face's, ours.
  "cls_token": "cls",
  "sep_token": "sep",
  "pad_token": "pad",
  "unk_token": "unknown",
  "mask_token": "mask",
}
_MORE = ("additional_special_tokens", "extra_special_tokens")


def named(values: Mapping[str, Any], path: str) -> dict[str, str]:
  """Returns those of the five that a file names, under Hugging Face's names.

  Raises:
    UserError: where one is no text.
  """
  try:
    return {x: _text(values[x]) for x in NAMES if values.get(x) is not None}
  except (TypeError, KeyError) as error:
    raise damaged(path, error) from error


def literal(
  directory: str, files: Collection[Mapping[str, Any]], own: Collection[str]
) -> tuple[str, ...]:
  """Returns the special pieces beyond the five, which are plain text to us.

  Args:
    directory: of the files, for complaints.
    files: what each says of added pieces.
    own: the five.

  Raises:
    UserError: at an added piece that is no special one: it would be looked
      for in texts before they are split.
  """
  try:
    found = list(itertools.chain.from_iterable(map(_added, files)))
  except (AttributeError, KeyError, TypeError) as error:
    raise damaged(f"The tokenizer in {directory}", error) from error
  special = {piece for piece, is_special in found if is_special}
  for piece, _ in found:
    if piece not in own and piece not in special:
      raise UserError(
        f"The tokenizer in {directory} has {quoted(piece)} among its added "
        "tokens, which we cannot look for in texts: remove it from the files "
        "there."
      )
  return tuple(sorted(special - set(own)))


def _added(values: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
  """Yields the pieces that a file adds, and whether each is a special one."""
  for name in _MORE:
    for token in _list(values, name):
      yield _text(token), True
  for token in (
    *_list(values, "added_tokens"),
    *(values.get("added_tokens_decoder") or {}).values(),
  ):
    yield _text(token), bool(token.get("special"))
  for token in _list(values, "never_split"):
    yield _text(token), False


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
  found = values.get(name) or []
  if not isinstance(found, list):
    raise TypeError(f"{name} is {quoted(found)}")
  return found


def _text(token: Any) -> str:
  """Returns a piece, which may be written with its properties."""
  text = token["content"] if isinstance(token, Mapping) else token
  if not isinstance(text, str):
    raise TypeError(f"{quoted(text)} is no piece")
  return text


def damaged(path: str, error: object) -> UserError:
  """Returns the complaint about a file of a tokenizer."""
  return UserError(
    f"{path} is damaged ({shortened(error, 90)}): fetch the encoder again."
  )

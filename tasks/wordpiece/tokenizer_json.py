"""A `tokenizer.json`, in the words of `tokenizer_config.json`.

The package `tokenizers` writes it, and Transformers 5 writes nothing else. It
spells a tokenizer out, so all that is not as in BERT's can be seen, and is
refused by its name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from engine.errors import UserError, shortened
from tasks.wordpiece.spec import LONGEST_WORD
from tasks.wordpiece.special_pieces import damaged
from tasks.wordpiece.vocabulary import pieces_of

# What BERT's have, and we know no other way of.
_MODEL = {
  "continuing_subword_prefix": "##",
  "max_input_chars_per_word": LONGEST_WORD,
}
_SWITCHES = {
  "lowercase": "do_lower_case",
  "strip_accents": "strip_accents",
  "handle_chinese_chars": "tokenize_chinese_chars",
}


def settings_of(values: Mapping[str, Any], path: str) -> dict[str, Any]:
  """Returns what a file says, under the names of `tokenizer_config.json`.

  Args:
    values: of the file.
    path: of the file, for complaints.

  Raises:
    UserError: where it is damaged, or spells out no tokenizer of BERT's kind.
  """
  try:
    model, normalizer = values["model"], values["normalizer"]
    # Old files have no type, but these only have such words.
    old = "WordPiece" if "max_input_chars_per_word" in model else None
    _need(path, "model", _type(model) or old, "WordPiece", "BPE", "Unigram")
    for name, value in _MODEL.items():
      _need(path, f"model.{name}", model.get(name, value), value)
    _need(path, "normalizer", _type(normalizer), "BertNormalizer")
    _need(path, "clean_text", normalizer.get("clean_text", True), True)
    splitter = values["pre_tokenizer"]
    _need(path, "pre_tokenizer", _type(splitter), "BertPreTokenizer")
    found = {
      theirs: normalizer[name]
      for name, theirs in _SWITCHES.items()
      if normalizer.get(name) is not None
    }
    return {
      **found,
      "unk_token": model.get("unk_token", "[UNK]"),
      **_ends(values.get("post_processor"), path),
    }
  except (AttributeError, IndexError, KeyError, TypeError) as error:
    raise damaged(path, error) from error


def pieces(values: Mapping[str, Any], path: str) -> tuple[str, ...]:
  """Returns the pieces, all different; the place of each is its id.

  Raises:
    UserError: where they have no ids.
  """
  ids = values["model"].get("vocab")
  if not isinstance(ids, Mapping):
    raise damaged(path, "model.vocab is no mapping")
  return pieces_of(ids, path)


def _ends(processor: Mapping[str, Any] | None, path: str) -> dict[str, Any]:
  """Returns the pieces around texts, and how many are between two."""
  kind = _type(processor)
  if processor is None or kind is None:
    return {}
  if kind in ("BertProcessing", "RobertaProcessing"):
    cls, sep = processor["cls"][0], processor["sep"][0]
    ends = 1 if kind == "BertProcessing" else 2
    return {"cls_token": cls, "sep_token": sep, "ends": ends}
  _need(path, "post_processor", kind, "TemplateProcessing")
  single, pair = (list(_flat(processor[x])) for x in ("single", "pair"))
  cls, sep = single[0], single[-1]
  ends = len(pair) - 4
  around = [cls, "A", *[sep] * ends, "B", sep]
  if single != [cls, "A", sep] or ends not in (1, 2) or pair != around:
    raise UserError(
      f"The post_processor of {path} does not make `[CLS] a [SEP] b [SEP]` of "
      "a pair: name an encoder with BERT's tokenizer."
    )
  return {"cls_token": cls, "sep_token": sep, "ends": ends}


def _flat(template: list[dict[str, Any]]) -> Iterator[str]:
  """Yields the name of each part of a template."""
  for part in template:
    (value,) = part.values()
    yield value["id"]


def _type(part: Mapping[str, Any] | None) -> str | None:
  return None if part is None else part.get("type")


def _need(path: str, name: str, value: Any, needed: Any, *others: str) -> None:
  """Raises `UserError` where a value is not the one that is needed.

  Args:
    path: of the file.
    name: of what has the value.
    value: that it has.
    needed: what it must be, here.
    *others: what it may be elsewhere.
  """
  if value != needed:
    said = " or ".join(map(str, (needed, *others)))
    raise UserError(
      f"The {name} of {path} is {shortened(value, 40)}, but must be {said}: "
      "name an encoder with such a tokenizer."
    )

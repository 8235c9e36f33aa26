"""What the files of an encoder say of its tokenizer, read here alone.

They are google-research/bert's and Hugging Face's: `vocab.txt` or a
`tokenizer.json`, or both, if they agree; `tokenizer_config.json`,
`special_tokens_map.json` and `added_tokens.json`. Where two speak of one thing
`tokenizer_config.json` decides, as in Transformers. What we cannot do is
refused by its name.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from engine.errors import Missing, Unreadable, UserError, quoted, shortened
from engine.formats import read_json
from tasks.wordpiece import (
  special_pieces,
  subwords,
  tokenizer_json,
  vocabulary,
)
from tasks.wordpiece.spec import (
  CLASSES,
  GUESSED,
  VOCABULARY,
  WRITER,
  WordPiece,
)
from tasks.wordpiece.tokenizer import SETTINGS, Tokenizer

_FILES = (
  SETTINGS,
  "special_tokens_map.json",
  "tokenizer.json",
  "added_tokens.json",  # Piece -> id.
)
_CLASSES = (
  "BertTokenizer",
  "DistilBertTokenizer",
  "ElectraTokenizer",
  "MobileBertTokenizer",
  "MPNetTokenizer",
)
# What BPE and SentencePiece come in where there is no tokenizer.json.
_SLOW = ("vocab.json", "sentencepiece.bpe.model", "spiece.model")
_GENERIC = ("PreTrainedTokenizer", "TokenizersBackend")  # See tokenizer.json.

# Settings that we have one way for, which null means too.
_ONLY: Mapping[str, Any] = {
  "word_tokenizer_type": "basic",
  "subword_tokenizer_type": "wordpiece",
  "do_basic_tokenize": True,
  "do_word_tokenize": True,
  "do_subword_tokenize": True,
  "clean_text": True,
  "wordpieces_prefix": "##",
}
_SWITCHES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")


def read(directory: str) -> Tokenizer:
  """Reads what the tokenizer of an encoder is, of whatever kind.

  Raises:
    UserError: naming the file that is missing or damaged, contradicts another
      or asks for what we cannot do.
  """
  config, special, fast = (
    _read_json(os.path.join(directory, name)) for name in _FILES[:3]
  )
  path = os.path.join(directory, subwords.FILE)
  if fast and subwords.is_ours(fast):
    return subwords.read(fast, path, config, special)
  lines = os.path.join(directory, VOCABULARY)
  if not fast and not tf.io.gfile.exists(lines):
    for name in _SLOW:
      if tf.io.gfile.exists(os.path.join(directory, name)):
        raise UserError(
          f"{directory} has its tokenizer in {name} alone, which is not read: "
          "where Transformers is installed, write tokenizer.json by "
          "`AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)`."
        )
    vocabulary.read_lines(lines)  # Says that there is none.
  return read_wordpiece(directory)


def read_wordpiece(
  directory: str, *, lines: str | None = None, lowercase: bool | None = None
) -> WordPiece:
  """Reads what a WordPiece tokenizer is.

  Args:
    directory: of the files, local or not.
    lines: path of the vocabulary, where it is not `vocab.txt` there.
    lowercase: whether texts are lower-cased, where the files do not say.

  Raises:
    UserError: naming the file that is missing or damaged, contradicts another
      or asks for what we cannot do.
  """
  lines = lines or os.path.join(directory, VOCABULARY)
  paths = [os.path.join(directory, name) for name in _FILES]
  config, special, fast, added = map(_read_json, paths)
  if WRITER not in config and _is_of_a_run(directory):
    return _of_old_run(lines, config)
  _check_class(directory, config, generic=bool(fast))
  said: dict[str, Any] = {"do_lower_case": lowercase}
  if str(config.get("tokenizer_class")).removesuffix("Fast") == CLASSES[2]:
    said["ends"] = 2
  spelt = tokenizer_json.settings_of(fast, paths[2]) if fast else {}
  said |= {"ends": spelt["ends"]} if "ends" in spelt else {}
  for values, i in ((spelt, 2), (special, 1), (config, 0)):  # The last decides.
    said |= _settings_of(values, paths[i])
  names = special_pieces.NAMES
  pieces, source = _pieces(lines, fast, paths[2])
  guessed = said["do_lower_case"] is None
  tokenizer = WordPiece(
    pieces,
    lowercase=not vocabulary.keeps_case(pieces)
    if guessed
    else said["do_lower_case"],
    strip_accents=said.get("strip_accents"),
    split_chinese=said.get("tokenize_chinese_chars", True),
    ends=said.get("ends", 1),
    guessed=guessed or bool(config.get(GUESSED)),
    source=source,
    **{names[x]: piece for x, piece in said.items() if x in names},
  )
  known = tokenizer.vocabulary
  if missing := [x for x in tokenizer.special if x not in known]:
    raise UserError(
      f"The vocabulary {source} lacks {shortened(', '.join(missing), 80)}: it "
      "is not that of a BERT encoder."
    )
  literal = special_pieces.literal(
    directory,
    (config, special, fast, {"never_split": list(added)}),
    (*tokenizer.special, tokenizer.mask),
  )
  return dataclasses.replace(tokenizer, literal=literal)


def check_begun(directory: str, tokenizer: Tokenizer) -> None:
  """Refuses to go on with another tokenizer than a run was begun with.

  Args:
    directory: of the assets of a run, or of one to be.
    tokenizer: of now.

  Raises:
    UserError: naming what differs.
  """
  config = _read_json(os.path.join(directory, SETTINGS))
  if WRITER not in config and not _is_of_a_run(directory):
    return
  begun = read(directory)
  facts = tokenizer.facts()
  changed = [
    f"{name}: {old} -> {facts.get(name)}"
    for name, old in begun.facts().items()
    if facts.get(name) != old
  ]
  if begun.pieces != tokenizer.pieces:
    changed.append(f"pieces: {_apart(begun.pieces, tokenizer.pieces)}")
  if changed:
    cure = "name the encoder as it was"
    cased = begun.facts().get("lowercase")
    if cased != facts.get("lowercase"):
      casing = "lower" if cased else "keep"
      cure = f"add --casing={casing} --allow_config_change=casing"
    raise UserError(
      f"The run of {directory} was begun with another tokenizer "
      f"({'; '.join(changed)}): {cure}, or begin another run."
    )


def _is_of_a_run(directory: str) -> bool:
  return tf.io.gfile.exists(os.path.join(directory, "classes.json"))


def _of_old_run(path: str, config: Mapping[str, Any]) -> WordPiece:
  """As runs were read before their assets said all: they go on as they were."""
  pieces = vocabulary.unique(vocabulary.read_lines(path))
  lowercase = config.get("do_lower_case")
  if lowercase is None:
    words = (piece for piece in pieces if not piece.startswith("["))
    lowercase = all(word == word.lower() for word in words)
  return WordPiece(pieces, lowercase=lowercase, source=path)


def _pieces(
  lines: str, fast: Mapping[str, Any], path: str
) -> tuple[tuple[str, ...], str]:
  """Returns the pieces and the file they are from."""
  if not fast:
    return vocabulary.read_pieces(lines), lines
  pieces = tokenizer_json.pieces(fast, path)
  if tf.io.gfile.exists(lines):
    others = vocabulary.read_pieces(lines)
    if pieces != others:
      raise UserError(
        f"{lines} and {path} have other pieces ({_apart(others, pieces)}): "
        "remove the one that is out of date."
      )
    return pieces, lines
  return pieces, path


def _apart(one: tuple[str, ...], other: tuple[str, ...]) -> str:
  """Says where two vocabularies differ first."""
  both = zip(one, other, strict=False)
  for i, (a, b) in enumerate(both):
    if a != b:
      return f"{i} is {quoted(a)} and {quoted(b)}"
  return f"{len(one)} and {len(other)}"


def _check_class(
  directory: str, config: Mapping[str, Any], *, generic: bool
) -> None:
  """Refuses a tokenizer of another class than BERT's."""
  for name, values in (
    (SETTINGS, config),
    ("config.json", _read_json(os.path.join(directory, "config.json"))),
  ):
    kind = values.get("tokenizer_class")
    if kind is None:
      continue
    known = (*_CLASSES, *(_GENERIC if generic else ()))
    kind = " ".join(str(kind).split())
    if kind.removesuffix("Fast") not in known:
      raise UserError(
        f"{os.path.join(directory, name)} asks for a {shortened(kind, 40)}, "
        "which splits texts in its own way: name an encoder with a "
        f"{_CLASSES[0]}."
      )
    return


def _settings_of(values: Mapping[str, Any], path: str) -> dict[str, Any]:
  """Returns what a file says of what we can do, and refuses the rest."""
  for name, only in _ONLY.items():
    if values.get(name) not in (None, only):
      raise UserError(
        f"`{name}` in {path} is {quoted(values[name])}, but must be {only!r}: "
        f"name an encoder with a {_CLASSES[0]}."
      )
  for name in _SWITCHES:
    if not isinstance(values.get(name), bool | None):
      raise UserError(
        f"`{name}` in {path} is {quoted(values[name])}, but must be true or "
        "false: correct it there."
      )
  switches = {x: values[x] for x in _SWITCHES if values.get(x) is not None}
  return {**switches, **special_pieces.named(values, path)}


def _read_json(path: str) -> dict[str, Any]:
  """Returns what a file says; {} where there is none.

  Transformers writes a `model_max_length` of 10**30 where there is no limit.
  """
  try:
    return read_json(path, dict, wide=True)
  except Missing:
    return {}
  except Unreadable as error:
    raise UserError(f"{path} {error.why}: fetch the encoder again.") from error

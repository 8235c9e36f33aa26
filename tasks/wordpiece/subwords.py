"""Tokenizers that a `tokenizer.json` spells out: BPE and Unigram.

The package `tokenizers` runs the file as it is (byte-level BPE of RoBERTa and
ModernBERT; Unigram of XLM-R and CamemBERT, which SentencePiece made), so ids
are those of Transformers. Read here are its pieces and the special ones around
sentences.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from engine.errors import UserError, quoted, shortened
from tasks.config import Casing
from tasks.wordpiece import special_pieces
from tasks.wordpiece.spec import WRITER
from tasks.wordpiece.tokenizer import Tokenizer

FILE = "tokenizer.json"
KINDS = ("BPE", "Unigram")
_HOLES = 1000  # Ids without a piece.


@dataclasses.dataclass(frozen=True)
class Subwords(Tokenizer):
  """A tokenizer that the package `tokenizers` runs.

  Attributes:
    text: of its `tokenizer.json`, neither cut nor padded to any length.
    kind: of its model, one of `KINDS`.
    ends: `sep`s between two sentences.
    said: what `tokenizer_config.json` is to say.
  """

  file = FILE
  not_in_graph = "TensorFlow Text has no BPE, and no Unigram without its model"

  text: str
  kind: str
  pieces: tuple[str, ...] = dataclasses.field(repr=False, compare=False)
  cls: str
  sep: str
  pad: str
  ends: int
  said: Mapping[str, Any] = dataclasses.field(compare=False)
  source: str = dataclasses.field(default="", compare=False)

  @property
  def splits_at_spaces(self) -> bool:
    return False  # A space is a part of the word behind it.

  def library(self) -> Any:
    # Imported here: most of what reads a tokenizer does not run it.
    import tokenizers

    made = tokenizers.Tokenizer.from_str(self.text)
    made.encode_special_tokens = True
    return made

  def with_casing(self, casing: Casing) -> "Subwords":
    if casing != "auto":
      raise UserError(
        f"`casing` is {casing!r}, but {self.source} says itself what becomes "
        "of case: leave out --casing."
      )
    return self

  def settled(self) -> "Subwords":
    return self

  def remarks(self) -> list[str]:
    return []

  def facts(self) -> dict[str, Any]:
    return {
      "kind": self.kind,
      "special": [self.cls, self.sep],
      "file": self.digest(),
    }

  def content(self) -> str:
    return self.text

  def settings(self) -> dict[str, Any]:
    return dict(self.said)

  def key(self) -> str:
    return json.dumps([self.digest(), self.cls, self.sep, self.pad, self.ends])


def read(
  fast: Mapping[str, Any],
  path: str,
  config: Mapping[str, Any],
  special: Mapping[str, Any],
) -> Subwords:
  """Takes a tokenizer from its files.

  Args:
    fast: of `tokenizer.json`.
    path: of that file.
    config: of `tokenizer_config.json`.
    special: of `special_tokens_map.json`.

  Raises:
    UserError: where the file is damaged, or says not how pairs are laid out.
  """
  settled = {**fast, "truncation": None, "padding": None}
  text = json.dumps(settled, ensure_ascii=False)
  try:
    cls, sep, ends = _template(fast.get("post_processor"))
    pieces = _pieces(fast, path)
    _check_runs(text)
  except UserError:  # A ValueError too.
    raise
  except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
    raise special_pieces.damaged(path, error) from error
  named = special_pieces.named({**special, **config}, path)
  pad = named.get("pad_token", "<pad>")
  for piece in (cls, sep, pad):
    if piece not in pieces:
      raise UserError(
        f"The vocabulary {path} lacks {quoted(piece)}: fetch the encoder again."
      )
  said = {k: v for k, v in config.items() if _is_plain(k, v)}
  return Subwords(
    text=text,
    kind=fast["model"]["type"],
    pieces=pieces,
    cls=cls,
    sep=sep,
    pad=pad,
    ends=ends,
    said={
      "tokenizer_class": "PreTrainedTokenizerFast",
      **said,
      **named,
      "cls_token": cls,
      "sep_token": sep,
      "pad_token": pad,
      WRITER: "apsis",
    },
    source=path,
  )


def is_ours(fast: Mapping[str, Any]) -> bool:
  """Whether a `tokenizer.json` is of one of `KINDS`."""
  model = fast.get("model")
  return isinstance(model, Mapping) and model.get("type") in KINDS


def _is_plain(name: str, value: Any) -> bool:
  """Whether a setting speaks of this tokenizer and of no path or code."""
  return (
    name != "auto_map"
    and not name.endswith(("_file", "name_or_path"))
    and isinstance(value, str | int | float | bool | list)
  )


def _template(processor: Any) -> tuple[str, str, int]:
  """Returns the special pieces around sentences: begin, end, ends between.

  Raises:
    UserError: where sentences do not stand as in `<s> A </s></s> B </s>`.
  """
  for part in _processors(processor):
    kind = part.get("type")
    if kind in ("RobertaProcessing", "BertProcessing"):
      ends = 2 if kind == "RobertaProcessing" else 1
      return part["cls"][0], part["sep"][0], ends
    if kind == "TemplateProcessing":
      names = [next(iter(each.values()))["id"] for each in part["pair"]]
      begin, end = names[0], names[-1]
      ends = len(names) - 4
      if ends in (1, 2) and names == [begin, "A", *[end] * ends, "B", end]:
        return begin, end, ends
      words = shortened(" ".join(names), 60)
      raise UserError(
        f"The tokenizer lays a pair out as `{words}`, but must as `<s> A </s> "
        "B </s>`, with one or two `</s>` between: choose another --encoder."
      )
  raise UserError(
    "The tokenizer.json has no post_processor that says how a pair is laid "
    "out: save the tokenizer with a current version of Transformers."
  )


def _processors(processor: Any) -> list[Mapping[str, Any]]:
  if processor is None:
    return []
  if processor.get("type") == "Sequence":
    return list(processor["processors"])
  return [processor]


def _pieces(fast: Mapping[str, Any], path: str) -> tuple[str, ...]:
  """Returns all pieces, those that were added included."""
  model = fast["model"]
  if model["type"] == "BPE":
    ids = dict(model["vocab"])
  else:
    ids = {piece: i for i, (piece, _) in enumerate(model["vocab"])}
  for added in fast.get("added_tokens") or []:
    ids.setdefault(added["content"], added["id"])
  numbers = list(ids.values())
  fit = all(type(i) is int and i >= 0 for i in numbers)
  if not numbers or not fit or max(numbers) >= len(ids) + _HOLES:
    raise UserError(
      f"The ids in {path} are not 0, 1, 2, ...: fetch the encoder again."
    )
  pieces = [f"[unused id {i}]" for i in range(max(numbers) + 1)]
  for piece, i in ids.items():
    pieces[i] = piece
  return tuple(pieces)


def _check_runs(text: str) -> None:
  """Lets the package read the file once, before anything is made of it.

  Raises:
    ValueError: where the package cannot.
  """
  import tokenizers

  try:
    tokenizers.Tokenizer.from_str(text)
  except Exception as error:  # The package has no narrower one.
    raise ValueError(str(error)) from error

"""What a WordPiece tokenizer is, as a value: all who tokenise go by it."""

import dataclasses
import json
from typing import Any

from tasks.config import Casing
from tasks.wordpiece.tokenizer import Tokenizer

VOCABULARY = "vocab.txt"
LONGEST_WORD = 100  # Characters; longer words are unknown.
WRITER = "written_by"  # Of settings that leave nothing to be found.
GUESSED = "do_lower_case_guessed"
# Hugging Face's class, by the number of `[SEP]` between two sentences.
CLASSES = {1: "BertTokenizer", 2: "MPNetTokenizer"}


@dataclasses.dataclass(frozen=True)
class WordPiece(Tokenizer):
  """A tokenizer of BERT's kind, as google-research/bert defines it.

  Attributes:
    pieces: all different; the place of each is its id.
    lowercase: whether texts lose their case.
    strip_accents: whether they lose their accents; None: with their case.
    split_chinese: whether each Chinese character is a word.
    cls: the piece before a pair.
    sep: the piece behind each sentence.
    pad: the piece of padding.
    unknown: the piece of words that have no pieces.
    mask: the piece of pretraining.
    ends: `sep`s between two sentences.
    literal: special pieces of others that are plain text to us.
    guessed: whether nothing but the vocabulary says what `lowercase` is.
    source: path of the file that has the pieces, as the user knows it.
  """

  file = VOCABULARY

  pieces: tuple[str, ...]
  lowercase: bool
  strip_accents: bool | None = None
  split_chinese: bool = True
  cls: str = "[CLS]"
  sep: str = "[SEP]"
  pad: str = "[PAD]"
  unknown: str = "[UNK]"
  mask: str = "[MASK]"
  ends: int = 1
  literal: tuple[str, ...] = dataclasses.field(default=(), compare=False)
  guessed: bool = dataclasses.field(default=False, compare=False)
  source: str = dataclasses.field(default="", compare=False)

  @property
  def splits_at_spaces(self) -> bool:
    return True

  def library(self) -> Any:
    """Returns the tokenizer of the package `tokenizers` (Rust).

    Its ids equal those of Model Garden's `FullTokenizer`, which a test holds
    it to.
    """
    # Imported here: most of what reads a tokenizer does not run it.
    import tokenizers

    made = tokenizers.Tokenizer(
      tokenizers.models.WordPiece(
        self.vocabulary,
        unk_token=self.unknown,
        max_input_chars_per_word=LONGEST_WORD,
      )
    )
    made.normalizer = tokenizers.normalizers.BertNormalizer(
      clean_text=True,
      handle_chinese_chars=self.split_chinese,
      strip_accents=self.strips_accents,
      lowercase=self.lowercase,
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.decoder = tokenizers.decoders.WordPiece()
    return made

  @property
  def special(self) -> tuple[str, ...]:
    """The pieces that it cannot do without."""
    return self.pad, self.unknown, self.cls, self.sep

  @property
  def strips_accents(self) -> bool:
    """Whether texts lose their accents."""
    return self.lowercase if self.strip_accents is None else self.strip_accents

  def with_casing(self, casing: Casing) -> "WordPiece":
    """Returns the tokenizer with what the user says of case."""
    if casing == "auto":
      return self
    lowercase = casing == "lower"
    return dataclasses.replace(self, lowercase=lowercase, guessed=False)

  def settled(self) -> "WordPiece":
    """Returns it without what needs to be said but once."""
    return dataclasses.replace(self, guessed=False, literal=())

  def remarks(self) -> list[str]:
    """What the user should know, a line each."""
    lines = []
    if self.guessed:
      are, other = ("are", "keep") if self.lowercase else ("are not", "lower")
      lines.append(
        "The encoder's files do not say whether texts are lower-cased: they "
        f"{are}, as the words of {self.source} look; --casing={other} if not."
      )
    if self.literal:
      lines.append(
        f"In texts {', '.join(self.literal[:5])} are plain text, as all "
        "special pieces are."
      )
    return lines

  def facts(self) -> dict[str, Any]:
    """What ids depend on beside the vocabulary, for JSON."""
    return {
      "lowercase": self.lowercase,
      "strip_accents": self.strips_accents,
      "split_chinese": self.split_chinese,
      "special": [self.cls, self.sep, self.unknown],
      **({} if self.ends == 1 else {"ends": self.ends}),
    }

  def content(self) -> str:
    return "".join(f"{piece}\n" for piece in self.pieces)

  def settings(self) -> dict[str, Any]:
    return {
      "tokenizer_class": CLASSES[self.ends],
      "do_lower_case": self.lowercase,
      "strip_accents": self.strip_accents,
      "tokenize_chinese_chars": self.split_chinese,
      "cls_token": self.cls,
      "sep_token": self.sep,
      "pad_token": self.pad,
      "unk_token": self.unknown,
      "mask_token": self.mask,
      WRITER: "apsis",
      **({GUESSED: True} if self.guessed else {}),
    }

  def key(self) -> str:
    return json.dumps([self.digest(), self.settings()])

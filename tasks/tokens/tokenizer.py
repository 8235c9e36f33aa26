"""WordPiece: from pairs of sentences to token ids.

The tokenizer is that of the package `tokenizers` (Rust); its ids equal those
of Model Garden's `FullTokenizer`, which a test holds it to.
"""

import json
import os
from collections.abc import Sequence

import tensorflow as tf
import tokenizers

from engine.errors import UserError
from tasks.tokens.encoded import EncodedPairs

_MOST_KNOWN = 2**18  # Words whose ids are kept.
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class PairTokenizer:
  """Turns pairs of sentences into token ids.

  Attributes:
    path: of the vocabulary.
    vocabulary: wordpiece -> id.
    lowercase: whether texts lose their case and accents.
  """

  def __init__(self, vocab_path: str):
    """Reads a vocabulary: one wordpiece a line, the id is the line number.

    Texts are lower-cased if the `tokenizer_config.json` beside it says so;
    without one, unless it has wordpieces with capitals.

    Raises:
      UserError: where the file is missing or lacks a special token.
    """
    if not tf.io.gfile.exists(vocab_path):
      raise UserError(
        f"There is no vocabulary {vocab_path}: --encoder must name a "
        "directory with vocab.txt."
      )
    with tf.io.gfile.GFile(vocab_path) as file:
      pieces = [line.rstrip("\r\n") for line in file]
    self.path = vocab_path
    self.vocabulary = {piece: i for i, piece in enumerate(pieces)}
    missing = [piece for piece in _SPECIAL if piece not in self.vocabulary]
    if missing:
      raise UserError(
        f"The vocabulary {vocab_path} lacks {', '.join(missing)}: it is not "
        "that of a BERT encoder."
      )
    self.lowercase = _said_of_casing(vocab_path)
    if self.lowercase is None:
      words = (piece for piece in pieces if not piece.startswith("["))
      self.lowercase = all(word == word.lower() for word in words)
    self._cls = self.vocabulary["[CLS]"]
    self._sep = self.vocabulary["[SEP]"]
    self._wordpiece = tokenizers.BertWordPieceTokenizer(
      self.vocabulary, lowercase=self.lowercase
    )
    self._known: dict[str, list[int]] = {}
    # "[SEP]" in a text is what somebody wrote, not an end.
    self._wordpiece._tokenizer.encode_special_tokens = True

  def tokenize(self, text: str) -> list[str]:
    """Returns the wordpieces of a text."""
    return self._wordpiece.encode(text, add_special_tokens=False).tokens

  def decode(self, ids: Sequence[int]) -> str:
    """Returns the text of a pair, as far as its ids still have it."""
    pieces = self._wordpiece.decode(list(ids), skip_special_tokens=False)
    return pieces.replace("[CLS] ", "").replace("[SEP]", "|").rstrip("| ")

  def encode(
    self,
    texts_a: Sequence[str],
    texts_b: Sequence[str] | None,
    max_length: int,
  ) -> EncodedPairs:
    """Encodes pairs; the longer sentence of a long pair is cut first.

    Args:
      texts_a: first sentences.
      texts_b: second sentences; None: each text stands alone.
      max_length: tokens of a pair, at most.
    """
    pieces, first, truncated = [], [], 0
    ids_a = self._ids_of(texts_a)
    if texts_b is None:
      ends = [self._sep]
      ids = [[self._cls, *one[: max_length - 2], *ends] for one in ids_a]
      truncated = sum(len(one) > max_length - 2 for one in ids_a)
      return EncodedPairs.of(ids, [len(one) for one in ids], truncated)
    for one, two in zip(ids_a, self._ids_of(texts_b), strict=True):
      keep_a, keep_b = truncate(len(one), len(two), max_length - 3)
      truncated += keep_a + keep_b < len(one) + len(two)
      pieces.append(
        [self._cls, *one[:keep_a], self._sep, *two[:keep_b], self._sep]
      )
      first.append(keep_a + 2)
    return EncodedPairs.of(pieces, first, truncated)

  def _ids_of(self, texts: Sequence[str]) -> list[list[int]]:
    """Returns the ids of texts, word by word: most words come again.

    A space ends a word for whatever follows, so words between spaces have the
    ids that they have in the text.
    """
    if len(self._known) > _MOST_KNOWN:
      self._known.clear()
    known, words = self._known, [text.split(" ") for text in texts]
    new = list({word for text in words for word in text if word not in known})
    encoded = self._wordpiece.encode_batch(new, add_special_tokens=False)
    known.update(zip(new, (x.ids for x in encoded), strict=True))
    return [[i for word in text for i in known[word]] for text in words]


def _said_of_casing(vocab_path: str) -> bool | None:
  """What Hugging Face's `tokenizer_config.json` says, if it is there."""
  path = os.path.join(os.path.dirname(vocab_path), "tokenizer_config.json")
  if not tf.io.gfile.exists(path):
    return None
  try:
    with tf.io.gfile.GFile(path) as file:
      return json.load(file).get("do_lower_case")
  except (ValueError, AttributeError) as error:
    raise UserError(
      f"{path} is damaged ({error}): fetch the encoder again."
    ) from error


def truncate(length_a: int, length_b: int, budget: int) -> tuple[int, int]:
  """Cuts two lengths to a sum of `budget`, one by one from the longer.

  The second is cut where they are equal, as in the original BERT.
  """
  excess = length_a + length_b - budget
  if excess <= 0:
    return length_a, length_b
  level = min(excess, abs(length_a - length_b))
  if length_a > length_b:
    length_a -= level
  else:
    length_b -= level
  both = excess - level
  return length_a - both // 2, length_b - (both - both // 2)

"""From pairs of sentences to token ids, by the package `tokenizers` (Rust)."""

import re
from collections.abc import Sequence

from tasks.tokens.encoded import EncodedPairs
from tasks.wordpiece.tokenizer import Tokenizer

_MOST_KNOWN = 2**18  # Words whose ids are kept.
_NOT_READ = "[not read:"


def as_written(shown: str) -> str:
  """Returns what `PairTokenizer.shown` says of a pair, however much was read.

  Equal for equal sentences: without marks and spaces.
  """
  return "".join(shown.replace(_NOT_READ, "").replace("]", "").split())


class PairTokenizer:
  """Turns pairs of sentences into token ids.

  Attributes:
    spec: what it is.
  """

  def __init__(self, spec: Tokenizer):
    self.spec = spec
    self._template = spec.template
    self._words = spec.library()
    self._known: dict[str, list[int]] = {}

  @property
  def vocabulary(self) -> dict[str, int]:
    """Piece -> id."""
    return self.spec.vocabulary

  def normalize(self, text: str) -> str:
    """Returns a text as its words are looked up, not split yet."""
    return self._words.normalizer.normalize_str(text)

  def words(self, text: str) -> list[str]:
    """Returns the words of a normalized text."""
    return [x for x, _ in self._words.pre_tokenizer.pre_tokenize_str(text)]

  def tokenize(self, text: str) -> list[str]:
    """Returns the pieces of a text."""
    return self._words.encode(text, add_special_tokens=False).tokens

  def decode(self, ids: Sequence[int]) -> str:
    """Returns the text of a pair, as far as its ids still have it."""
    pieces = self._words.decode(list(ids), skip_special_tokens=False)
    ends = f"(?:{re.escape(self.spec.sep)}\\s*)+"
    texts = re.split(ends, pieces.removeprefix(self.spec.cls))
    return " | ".join(text.strip() for text in texts).rstrip("| ")

  def lengths_read(self, lengths: Sequence[int], longest: int) -> list[int]:
    """Returns how much of one or two sentences a model reads, in tokens.

    Args:
      lengths: tokens of each, without special ones.
      longest: tokens of a pair, special ones included.
    """
    if len(lengths) == 1:
      return [min(lengths[0], longest - self._template.single)]
    one, two = lengths
    return [*truncate(one, two, longest - self._template.pair)]

  def shown(self, texts: Sequence[str], longest: int) -> str:
    """Returns one or two sentences in one line, which says what is not read.

    Args:
      texts: the sentences.
      longest: tokens of a pair that are read.
    """
    found = self._words.encode_batch(list(texts), add_special_tokens=False)
    lengths = [len(each) for each in found]
    shown = []
    for text, each, read in zip(
      texts, found, self.lengths_read(lengths, longest), strict=True
    ):
      if read < len(each):
        end = each.offsets[read - 1][1] if read else 0
        text = f"{text[:end]} {_NOT_READ} {text[end:].strip()}]".lstrip()
      shown.append(text)
    return " | ".join(shown)

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
    ids_a, template = self._ids_of(texts_a), self._template
    begin, end = [template.begin], [template.end]
    if texts_b is None:
      most = max_length - template.single
      ids = [[*begin, *one[:most], *end] for one in ids_a]
      truncated = sum(len(one) > most for one in ids_a)
      return EncodedPairs.of(ids, [len(one) for one in ids], truncated)
    between, most = end * template.ends, max_length - template.pair
    for one, two in zip(ids_a, self._ids_of(texts_b), strict=True):
      keep_a, keep_b = truncate(len(one), len(two), most)
      truncated += keep_a + keep_b < len(one) + len(two)
      pieces.append([*begin, *one[:keep_a], *between, *two[:keep_b], *end])
      first.append(keep_a + 2)
    return EncodedPairs.of(pieces, first, truncated)

  def _ids_of(self, texts: Sequence[str]) -> list[list[int]]:
    """Returns the ids of texts.

    Where a space ends a word for whatever follows, words between spaces have
    the ids that they have in the text: they are looked up, most come again.
    """
    if not self.spec.splits_at_spaces:
      encoded = self._words.encode_batch(list(texts), add_special_tokens=False)
      return [each.ids for each in encoded]
    if len(self._known) > _MOST_KNOWN:
      self._known.clear()
    known, words = self._known, [text.split(" ") for text in texts]
    new = list({word for text in words for word in text if word not in known})
    encoded = self._words.encode_batch(new, add_special_tokens=False)
    known.update(zip(new, (x.ids for x in encoded), strict=True))
    return [[i for word in text for i in known[word]] for text in words]


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

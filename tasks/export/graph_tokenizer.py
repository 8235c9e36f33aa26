"""Pairs of sentences to token ids inside a graph: a server needs no Python.

The ids are those of `tasks.tokens.tokenizer` for every text: what becomes of a
code point is looked up in tables of that tokenizer's answers. TensorFlow Text
cuts words into pieces, which knows of no Unicode.
"""

import functools

import tensorflow as tf

from tasks.export import code_points
from tasks.export.code_points import OWN, PAGE, CodePoints
from tasks.tokens.tokenizer import PairTokenizer
from tasks.wordpiece.spec import LONGEST_WORD, WordPiece

_NO_WORD = " "  # Stands for one that is too long, and is in no vocabulary.


class GraphTokenizer(tf.Module):
  """Turns pairs of sentences into the dense arrays of an encoder."""

  def __init__(self, spec: WordPiece, *, max_length: int, single: bool = False):
    """Initializes the tokenizer.

    Args:
      spec: what it is.
      max_length: tokens of a pair; longer ones are cut.
      single: whether there is one sentence only.
    """
    super().__init__()
    # Imported here: it loads ops that only an export needs.
    import tensorflow_text

    self._max_length = max_length
    self.single = single
    ids, template = spec.vocabulary, spec.template
    self._template = template
    self._cls, self._sep = template.begin, template.end
    self._tables = _tables_of(
      spec.lowercase, spec.strips_accents, spec.split_chinese
    )
    # From memory: TensorFlow's reader of files has ideas of its own of lines.
    self._ids = tf.lookup.StaticHashTable(
      tf.lookup.KeyValueTensorInitializer(
        tf.constant(spec.pieces), tf.range(len(ids), dtype=tf.int64)
      ),
      default_value=ids[spec.unknown],
    )
    self._wordpiece = tensorflow_text.WordpieceTokenizer(
      self._ids,
      unknown_token=spec.unknown,
      max_bytes_per_word=4 * LONGEST_WORD,  # A character has four at most.
      token_out_type=tf.int64,
    )

  def __call__(
    self, texts_a: tf.Tensor, texts_b: tf.Tensor | None = None
  ) -> dict[str, tf.Tensor]:
    """Encodes pairs as `[CLS] a [SEP] b [SEP]`.

    Args:
      texts_a: string [pairs], UTF-8.
      texts_b: string [pairs]; None: each text stands alone.

    Returns:
      int32 `input_word_ids`, `input_mask` and `input_type_ids`, each [pairs,
      tokens of the longest pair].
    """
    ends = tf.ones([tf.shape(texts_a)[0], 1], tf.int32)
    if texts_b is None:
      most = self._max_length - self._template.single
      a = self._pieces(texts_a)[:, :most]
      words = tf.concat([self._cls * ends, a, self._sep * ends], axis=1)
      return _dense(words, tf.zeros_like(words))
    a, b = self._pieces(texts_a), self._pieces(texts_b)
    keep_a, keep_b = _truncated(
      a.row_lengths(), b.row_lengths(), self._max_length - self._template.pair
    )
    a, b = _cut(a, keep_a), _cut(b, keep_b)
    separator = self._sep * ends
    extra = [separator] * (self._template.ends - 1)
    words = tf.concat(
      [self._cls * ends, a, separator, *extra, b, separator], axis=1
    )
    first = tf.zeros_like(tf.concat([ends, a, ends], axis=1))
    second = tf.ones_like(tf.concat([*extra, b, ends], axis=1))
    return _dense(words, tf.concat([first, second], axis=1))

  def _pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
    """Returns the wordpieces of each text, int32 [texts, (pieces)]."""
    words = tf.strings.split(self._normalized(texts))
    lengths = tf.strings.length(words.flat_values, "UTF8_CHAR")
    known = tf.where(lengths > LONGEST_WORD, _NO_WORD, words.flat_values)
    pieces = self._wordpiece.tokenize(words.with_flat_values(known))
    return tf.cast(pieces.merge_dims(-2, -1), tf.int32)

  def _normalized(self, texts: tf.Tensor) -> tf.Tensor:
    """Returns texts with a space wherever a word ends: string [texts]."""
    tables = self._tables
    codes = tf.strings.unicode_decode(texts, "UTF-8")
    own = codes.flat_values
    page = tf.gather(tables.pages, own // PAGE)
    rows = tf.gather_nd(tables.rows, tf.stack([page, own % PAGE], axis=1))
    counts = tf.gather(tables.counts, rows)
    # The place of each value: its first one's, and one more for each behind.
    firsts = tf.gather(tables.firsts, rows) - tf.cumsum(counts, exclusive=True)
    places = tf.repeat(firsts, counts) + tf.range(tf.reduce_sum(counts))
    values = tf.gather(tables.values, places)
    values = tf.where(values == OWN, tf.repeat(own, counts), values)
    if tables.ranks.any():
      ranks = tf.gather(tables.ranks, places)
      groups = tf.cumsum(tf.gather(tables.starts, rows))
      groups += tf.cast(codes.value_rowids(), tf.int32)
      values = tf.cond(
        tf.reduce_any(ranks > 0),
        lambda: _in_order(values, tf.repeat(groups, counts), ranks),
        lambda: values,
      )
    ends = tf.concat([[0], tf.cumsum(counts)], axis=0)
    return tf.strings.unicode_encode(
      tf.RaggedTensor.from_row_splits(
        values, tf.gather(ends, codes.row_splits), validate=False
      ),
      "UTF-8",
    )


def _in_order(
  values: tf.Tensor, groups: tf.Tensor, ranks: tf.Tensor
) -> tf.Tensor:
  """Puts marks in canonical order; none leaves its group. All int32 [n]."""
  most = tf.reduce_max(ranks) + 1
  keys = tf.cast(groups, tf.int64) * tf.cast(most, tf.int64)
  order = tf.argsort(keys + tf.cast(ranks, tf.int64), stable=True)
  return tf.gather(values, order)


def _dense(
  words: tf.RaggedTensor, types: tf.RaggedTensor
) -> dict[str, tf.Tensor]:
  return {
    "input_word_ids": words.to_tensor(),
    "input_mask": tf.ones_like(words).to_tensor(),
    "input_type_ids": types.to_tensor(),
  }


def _truncated(
  a: tf.Tensor, b: tf.Tensor, budget: int
) -> tuple[tf.Tensor, tf.Tensor]:
  """As `tasks.tokens.tokenizer.truncate`, for int64 [pairs] each."""
  excess = tf.maximum(a + b - budget, 0)
  level = tf.minimum(excess, tf.abs(a - b))
  both = excess - level
  a_is_longer = a > b
  a -= tf.where(a_is_longer, level, 0)
  b -= tf.where(a_is_longer, tf.zeros_like(level), level)
  return a - both // 2, b - (both - both // 2)


def _cut(pieces: tf.RaggedTensor, lengths: tf.Tensor) -> tf.RaggedTensor:
  return tf.RaggedTensor.from_tensor(pieces.to_tensor(), lengths=lengths)


@functools.cache
def _tables_of(lowercase: bool, accents: bool, chinese: bool) -> CodePoints:
  """Returns the tables of all tokenizers with these settings."""
  pieces = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
  tokenizer = PairTokenizer(WordPiece(pieces, lowercase, accents, chinese))
  return code_points.tables(tokenizer.normalize, tokenizer.words)

"""Pairs of sentences to token ids inside a graph: a server needs no Python.

The ids are those of `tasks.tokens.tokenizer`, which a test holds it to.
TensorFlow Text cuts words into pieces; normalisation is ours, since its own
folds case and compatibility characters, which BERT's does not.
"""

import os

import tensorflow as tf

# Longer words are unknown: to the fast tokenizer in characters, to TensorFlow
# Text in bytes, of which a character has four at most.
_LONGEST_WORD = 100
_UNKNOWN = "\U0010ffff"  # No vocabulary has it.


class GraphTokenizer(tf.Module):
  """Turns pairs of sentences into the dense arrays of an encoder."""

  def __init__(
    self,
    vocabulary: str,
    *,
    lowercase: bool,
    max_length: int,
    single: bool = False,
  ):
    """Initializes the tokenizer.

    Args:
      vocabulary: path of `vocab.txt`, which becomes an asset.
      lowercase: whether case and accents are dropped.
      max_length: tokens of a pair; longer ones are cut.
      single: whether there is one sentence only.
    """
    super().__init__()
    # Imported here: it loads ops that only an export needs.
    import tensorflow_text
    from tensorflow_text.python.ops.bert_tokenizer import BasicTokenizer

    self._lowercase = lowercase
    self._max_length = max_length
    self.single = single
    with open(vocabulary, encoding="utf-8") as file:
      pieces = [line.rstrip("\r\n") for line in file]
    self._cls, self._sep = pieces.index("[CLS]"), pieces.index("[SEP]")
    self._asset = tf.saved_model.Asset(os.path.abspath(vocabulary))
    self._table = tf.lookup.StaticVocabularyTable(
      tf.lookup.TextFileInitializer(
        self._asset.asset_path,
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
      ),
      num_oov_buckets=1,
    )
    self._text = tensorflow_text
    self._words = BasicTokenizer(lower_case=False)
    self._wordpiece = tensorflow_text.WordpieceTokenizer(
      self._table,
      max_bytes_per_word=4 * _LONGEST_WORD,
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
      a = self._pieces(texts_a)[:, : self._max_length - 2]
      words = tf.concat([self._cls * ends, a, self._sep * ends], axis=1)
      return _dense(words, tf.zeros_like(words))
    a, b = self._pieces(texts_a), self._pieces(texts_b)
    keep_a, keep_b = _truncated(
      a.row_lengths(), b.row_lengths(), self._max_length - 3
    )
    a, b = _cut(a, keep_a), _cut(b, keep_b)
    separator = self._sep * ends
    words = tf.concat([self._cls * ends, a, separator, b, separator], axis=1)
    first = tf.zeros_like(tf.concat([ends, a, ends], axis=1))
    second = tf.ones_like(tf.concat([b, ends], axis=1))
    return _dense(words, tf.concat([first, second], axis=1))

  def _pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
    """Returns the wordpieces of each text, int32 [texts, (pieces)]."""
    words = self._words.tokenize(self._normalized(texts))
    lengths = tf.strings.length(words.flat_values, "UTF8_CHAR")
    short = tf.where(lengths > _LONGEST_WORD, _UNKNOWN, words.flat_values)
    pieces = self._wordpiece.tokenize(words.with_flat_values(short))
    return tf.cast(pieces.merge_dims(-2, -1), tf.int32)

  def _normalized(self, texts: tf.Tensor) -> tf.Tensor:
    """Cleans texts as BERT does; drops case and accents where it should."""
    replace = tf.strings.regex_replace
    texts = replace(texts, r"[\t\n\r]", " ")
    texts = replace(texts, r"[\p{Cc}\p{Cf}\p{Co}\x{FFFD}]", "")
    if self._lowercase:
      texts = self._text.normalize_utf8(texts, "NFD")
      texts = replace(texts, r"\p{Mn}", "")
      # One by one: within a word the lower case of sigma depends on its place.
      letters = tf.strings.unicode_split(texts, "UTF-8")
      letters = letters.with_flat_values(
        tf.strings.lower(letters.flat_values, "utf-8")
      )
      texts = tf.strings.reduce_join(letters, axis=-1)
    return texts


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

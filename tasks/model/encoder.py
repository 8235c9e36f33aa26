"""What encoders share that are computed on streams of tokens."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from engine.randomness import Stream
from tasks.model.contract import Encoder
from tasks.model.stream import Tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
  """What an encoder is, whatever its family calls it.

  Attributes:
    words: of the vocabulary.
    hidden: size of what blocks and pooler take and give.
    layers: blocks.
    heads: of the attention; they divide `hidden`.
    inner: size between the two products of the feed-forward.
    positions: of the longest sequence, or rows of a table of them.
    activation: of the feed-forward (`bias_activation`).
    epsilon: of the norms.
    deviation: of weights that begin at random.
  """

  words: int
  hidden: int
  layers: int
  heads: int
  inner: int
  positions: int
  activation: str = "gelu"
  epsilon: float = 1e-12
  deviation: float = 0.02


class StreamEncoder(Encoder):
  """An encoder that is computed on streams of tokens.

  Attributes:
    shape: what it is.
  """

  shape: Sizes

  def __init__(self, shape: Sizes, *, dropout: float, **kwargs):
    """Initializes the encoder.

    Args:
      shape: what it is.
      dropout: rate for embeddings, attention shares and block outputs.
      **kwargs: of the Keras layer.
    """
    super().__init__(**kwargs)
    self.shape = shape
    self.hidden_size = shape.hidden
    self._dropout = dropout

  def call(
    self,
    features: Mapping[str, tf.Tensor],
    random: Stream | None = None,
    pooled_only: bool = False,
  ) -> tuple[tf.Tensor | None, tf.Tensor]:
    """Encodes sequences; see `Encoder.call`."""
    num_shares, count = features["word_ids"].shape
    tokens = Tokens.of(features)
    x, pooled = self.encode(features, tokens, random, pooled_only)
    pooled = tf.reshape(pooled, [num_shares, -1, self.hidden_size])
    if pooled_only:
      return None, pooled
    return tf.reshape(x, [num_shares, count, -1]), pooled

  def encode(
    self,
    features: Mapping[str, tf.Tensor],
    tokens: Tokens,
    random: Stream | None,
    pooled_only: bool,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Encodes the sequences of all shares; see `Encoder.call`.

    Returns:
      The sequence output [tokens, hidden], or anything with `pooled_only`; and
      the pooled output [sequences, hidden].
    """
    raise NotImplementedError

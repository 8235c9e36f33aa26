"""A BERT encoder for streams of tokens (Devlin et al., arXiv 1810.04805).

Model Garden's encoder knows one sequence a row and draws dropout from a hidden
generator. This one takes a stream of tokens in which sequences follow each
other, so nearly all of its work is on real tokens; rows of a common width
exist for attention alone, and several sequences share one. Random bits come
from the engine's stream. Its weights come from Model Garden checkpoints, and a
test holds its outputs to those of Model Garden's encoder.
"""

from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from engine.randomness import Stream
from tasks.encoders.bert.config import BertConfig
from tasks.model.block import run_block
from tasks.model.contract import Encoder
from tasks.model.fused import add_norm
from tasks.model.layers import Block, LayerNorm, build_part
from tasks.model.stream import Tokens, joined


class BertEncoder(Encoder):
  """Embeddings, blocks and pooler of BERT."""

  def __init__(self, config: BertConfig, *, dropout: float, **kwargs):
    """Initializes the encoder.

    Args:
      config: its sizes.
      dropout: rate for embeddings, attention shares and block outputs.
      **kwargs: of the Keras layer.
    """
    super().__init__(**kwargs)
    self.config = config
    self.hidden_size = config.hidden_size
    self._dropout = dropout
    self.embedding_norm = LayerNorm(name="embedding_layer_norm")
    self.blocks = [
      Block(config.hidden_size, config.intermediate_size, name=f"layer_{i}")
      for i in range(config.num_hidden_layers)
    ]
    self.pooler = tf_keras.layers.Dense(
      config.hidden_size, activation="tanh", name="pooler"
    )

  def build(self, input_shape):
    """Creates the variables of all parts; no input shape is needed."""
    del input_shape
    sizes = {
      "word_embeddings": self.config.vocab_size,
      "position_embeddings": self.config.max_position_embeddings,
      "type_embeddings": self.config.type_vocab_size,
    }
    # Gathered rows are cast to the compute type, not the whole table. Zeros
    # cost nothing: first weights are drawn or read later.
    self.word, self.position, self.type = (
      self.add_weight(
        name,
        [size, self.hidden_size],
        initializer="zeros",
        experimental_autocast=False,
      )
      for name, size in sizes.items()
    )
    hidden = [None, self.hidden_size]
    for part in (self.embedding_norm, *self.blocks, self.pooler):
      build_part(part, hidden)
    self.built = True

  def call(
    self,
    features: Mapping[str, tf.Tensor],
    random: Stream | None = None,
    pooled_only: bool = False,
  ) -> tuple[tf.Tensor | None, tf.Tensor]:
    """Encodes sequences; see `Encoder.call`.

    With `pooled_only` most of the last block is left out.
    """
    num_shares, count = features["word_ids"].shape
    tokens = Tokens.of(features)
    embedded = lambda table, name: tf.gather(table, joined(features[name]))
    x = add_norm(
      embedded(self.word, "word_ids")
      + embedded(self.position, "positions")
      + embedded(self.type, "type_ids"),
      None,
      None,
      tf.convert_to_tensor(self.embedding_norm.gamma),
      tf.convert_to_tensor(self.embedding_norm.beta),
      None,
      rate=0.0,
      epsilon=self.config.layer_norm_eps,
      dtype=tf.as_dtype(self.compute_dtype),
    )
    if random is not None:
      x = random.dropout(x, self._dropout, names=tokens.names)
    for i, block in enumerate(self.blocks):
      x = run_block(
        x,
        block.tensors(),
        tokens,
        random and random.child_key(),
        heads=self.config.num_attention_heads,
        rate=self._dropout,
        epsilon=self.config.layer_norm_eps,
        exact_gelu=self.config.exact_gelu,
        firsts_only=pooled_only and i == len(self.blocks) - 1,
      )
    first = x if pooled_only else tf.gather(x, tokens.firsts)
    pooled = tf.reshape(self.pooler(first), [num_shares, -1, self.hidden_size])
    if pooled_only:
      return None, pooled
    return tf.reshape(x, [num_shares, count, -1]), pooled

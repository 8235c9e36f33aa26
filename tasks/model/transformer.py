"""The encoder that most families are, for streams of tokens.

It is BERT's (Devlin et al., arXiv 1810.04805), with what DistilBERT, ELECTRA,
RoBERTa and MPNet do in another way as parameters. Theirs know one sequence a
row and draw dropout from a hidden generator. This one takes a stream of tokens
in which sequences follow each other, so nearly all of its work is on real
tokens; rows of a common width exist for attention alone, and several sequences
share one. Random bits come from the engine's stream.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import tensorflow as tf
import tf_keras

from engine.randomness import Stream
from tasks.model.activations import ACTIVATIONS
from tasks.model.block import run_block
from tasks.model.distances import Distances
from tasks.model.encoder import Sizes, StreamEncoder
from tasks.model.fused import add_norm
from tasks.model.layers import Block, LayerNorm, Linear, build_part
from tasks.model.stream import Tokens, joined


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(Sizes):
  """What a `Transformer` is.

  Attributes:
    embedding: size of a row of the tables; one that is not `hidden` is
      projected.
    first_position: the row of the first token; those before it are of padding.
    types: rows of the table of types; 0: none.
    typed: whether the second sentence has the second type, where there is one;
      else all tokens have the first.
    buckets: of distances between tokens, for which attention learns a bias
      that all blocks share (Raffel et al., arXiv 1910.10683); 0: none.
    pooler: activation of the pooler.
  """

  embedding: int
  first_position: int = 0
  types: int = 0
  typed: bool = True
  buckets: int = 0
  pooler: Literal["tanh", "gelu", "relu"] = "tanh"


class Transformer(StreamEncoder):
  """Embeddings, blocks with their norms behind, and a pooler."""

  shape: Architecture

  def __init__(self, shape: Architecture, **kwargs):
    """Initializes the encoder; see `StreamEncoder`."""
    super().__init__(shape, **kwargs)
    self.embedding_norm = LayerNorm(name="embedding_layer_norm")
    if shape.embedding != shape.hidden:
      self.projection = Linear(shape.hidden, name="embedding_projection")
    if shape.buckets:
      self.distances = Distances(
        shape.buckets, shape.heads, name="distance_embeddings"
      )
    self.blocks = [
      Block(shape.hidden, shape.inner, name=f"layer_{i}")
      for i in range(shape.layers)
    ]
    self.pooler = tf_keras.layers.Dense(
      shape.hidden, activation=ACTIVATIONS[shape.pooler], name="pooler"
    )

  def build(self, input_shape):
    """Creates the variables of all parts; no input shape is needed."""
    del input_shape
    shape = self.shape
    # Gathered rows are cast to the compute type, not the whole table. Zeros
    # cost nothing: first weights are drawn or read later.
    table = lambda name, rows: self.add_weight(
      f"{name}_embeddings",
      [rows, shape.embedding],
      initializer="zeros",
      experimental_autocast=False,
    )
    self.word = table("word", shape.words)
    self.position = table("position", shape.positions)
    if shape.types:
      self.type = table("type", shape.types)
    build_part(self.embedding_norm, [None, shape.embedding])
    if shape.embedding != shape.hidden:
      build_part(self.projection, [None, shape.embedding])
    if shape.buckets:
      build_part(self.distances, None)
    for part in (*self.blocks, self.pooler):
      build_part(part, [None, shape.hidden])
    self.built = True

  def encode(
    self,
    features: Mapping[str, tf.Tensor],
    tokens: Tokens,
    random: Stream | None,
    pooled_only: bool,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Encodes sequences; see `StreamEncoder.encode`.

    With `pooled_only` most of the last block is left out.
    """
    x = self._embedded(features, tokens, random)
    bias = None
    if self.shape.buckets:
      bias = self.distances.bias(tokens.rows.shape[1])
    for i, block in enumerate(self.blocks):
      x = run_block(
        x,
        block.tensors(),
        tokens,
        random and random.child_key(),
        heads=self.shape.heads,
        rate=self._dropout,
        epsilon=self.shape.epsilon,
        activation=self.shape.activation,
        firsts_only=pooled_only and i == len(self.blocks) - 1,
        bias=bias,
      )
    first = x if pooled_only else tf.gather(x, tokens.firsts)
    return x, self.pooler(first)

  def _embedded(self, features, tokens, random):
    """What the first block takes: [tokens, hidden]."""
    embedded = lambda table, indices: tf.gather(table, joined(indices))
    x = embedded(self.word, features["word_ids"]) + embedded(
      self.position, features["positions"] + self.shape.first_position
    )
    if self.shape.types > 1 and self.shape.typed:
      x += embedded(self.type, features["type_ids"])
    elif self.shape.types:
      x += self.type[0]
    dtype = tf.as_dtype(self.compute_dtype)
    x = add_norm(
      x,
      None,
      None,
      *self.embedding_norm.tensors(),
      None,
      rate=0.0,
      epsilon=self.shape.epsilon,
      dtype=dtype,
    )
    if random is not None:
      x = random.dropout(x, self._dropout, names=tokens.names)
    if self.shape.embedding != self.shape.hidden:
      kernel, shift = self.projection.tensors()
      x = tf.matmul(x, kernel) + tf.cast(shift, dtype)
    return x

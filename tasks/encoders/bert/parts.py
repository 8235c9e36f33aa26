"""The variables of BERT, one by one, in the words of all who name them."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf

from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.encoders.face.transformer import BERT_NAMES, listed
from tasks.encoders.face.weights import variable_at

POOLER = "pooler"

# Our parts, as Model Garden calls them: first ones, and those of a block.
_FIRST = ("word", "position", "type", "embedding_norm")
_BLOCK = {
  "query": "_attention_layer/_query_dense",
  "key": "_attention_layer/_key_dense",
  "value": "_attention_layer/_value_dense",
  "attention_output": "_attention_layer/_output_dense",
  "attention_norm": "_attention_layer_norm",
  "intermediate": "_intermediate_dense",
  "output_": "_output_dense",
  "output_norm": "_output_layer_norm",
}


class Value(NamedTuple):
  """One variable of an encoder, in the words of all.

  Attributes:
    part: our path of its part.
    name: ours, and Model Garden's.
    garden: Model Garden's key of the part.
    face: Hugging Face's name.
    shape: Model Garden's, which splits the heads off.
  """

  part: str
  name: str
  garden: str
  face: str
  shape: tuple[int, ...]

  def fits(self, shape: tuple[int, ...]) -> bool:
    """Whether it may be stored in a shape: with its heads split, or merged."""
    merged = self.shape
    if self.name == "bias":
      merged = (math.prod(self.shape),)
    elif self.name == "kernel":
      place = -1 if self.part.endswith("attention_output") else 1
      merged = tuple(math.prod(x) for x in (merged[:place], merged[place:]))
    return shape in (self.shape, merged)

  def variable(self, encoder: BertEncoder) -> tf.Variable:
    """Returns that of an encoder."""
    return variable_at(encoder, f"{self.part}.{self.name}")


def values_of(config: BertConfig) -> Iterator[Value]:
  """Yields the variables of an encoder, one by one, in Model Garden's order."""
  hidden, count = config.hidden_size, config.num_attention_heads
  heads = (count, hidden // count)
  split: dict[str, tuple[int, ...]] = {
    "attention_output.kernel": (*heads, hidden)
  }
  for part in ("query", "key", "value"):
    split |= {f"{part}.kernel": (hidden, *heads), f"{part}.bias": heads}
  for weight in listed(config.shape, BERT_NAMES, "pooler.dense"):
    part, name = weight.path.rsplit(".", 1)
    in_block = weight.path.split(".", 2)[-1]
    yield Value(
      part=part,
      name=name,
      garden=_garden(part, config.num_hidden_layers),
      face=weight.name,
      shape=split.get(in_block, weight.shape),
    )


def _garden(part: str, layers: int) -> str:
  """Returns Model Garden's key of one of our parts."""
  if part in _FIRST:
    return f"layer_with_weights-{_FIRST.index(part)}"
  if part == POOLER:
    return f"layer_with_weights-{layers + len(_FIRST)}"
  _, i, name = part.split(".")
  return f"layer_with_weights-{int(i) + len(_FIRST)}/{_BLOCK[name]}"

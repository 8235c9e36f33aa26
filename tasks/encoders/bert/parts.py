"""The variables of BERT, one by one, in the words of all who name them."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder

POOLER = "pooler"

# Parts of a block, in Model Garden's order: kind, and the names that we, Model
# Garden and Hugging Face have for it.
_BLOCK = (
  ("dense", "query", "_attention_layer/_query_dense", "attention.self.query"),
  ("dense", "key", "_attention_layer/_key_dense", "attention.self.key"),
  ("dense", "value", "_attention_layer/_value_dense", "attention.self.value"),
  (
    "dense",
    "attention_output",
    "_attention_layer/_output_dense",
    "attention.output.dense",
  ),
  (
    "norm",
    "attention_norm",
    "_attention_layer_norm",
    "attention.output.LayerNorm",
  ),
  ("dense", "intermediate", "_intermediate_dense", "intermediate.dense"),
  ("dense", "output_", "_output_dense", "output.dense"),
  ("norm", "output_norm", "_output_layer_norm", "output.LayerNorm"),
)


def _parts(num_layers: int) -> Iterator[tuple[str, str, str, str]]:
  """Yields (kind, our path, Model Garden's key, Hugging Face's name)."""
  tables = ("word", "position", "type"), ("word", "position", "token_type")
  for i, (ours, theirs) in enumerate(zip(*tables, strict=True)):
    name = f"embeddings.{theirs}_embeddings"
    yield "table", ours, f"layer_with_weights-{i}", name
  norm = ("embedding_norm", "layer_with_weights-3", "embeddings.LayerNorm")
  yield "norm", *norm
  for i in range(num_layers):
    for kind, ours, garden, face in _BLOCK:
      yield (
        kind,
        f"blocks.{i}.{ours}",
        f"layer_with_weights-{i + 4}/{garden}",
        f"encoder.layer.{i}.{face}",
      )
  last = f"layer_with_weights-{num_layers + 4}"
  yield "dense", POOLER, last, "pooler.dense"


# Values of a part: ours (and Model Garden's), Hugging Face's.
_VALUES = {
  "table": (("embeddings", "weight"),),
  "dense": (("kernel", "weight"), ("bias", "bias")),
  "norm": (("gamma", "weight"), ("beta", "bias")),
}


class Value(NamedTuple):
  """One variable of an encoder, in the words of all.

  Attributes:
    part: our path of its part.
    name: ours, and Model Garden's.
    garden: Model Garden's key of the part.
    face: Hugging Face's name of the part.
    theirs: Hugging Face's name of the value.
    shape: Model Garden's, which splits the heads off.
  """

  part: str
  name: str
  garden: str
  face: str
  theirs: str
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
    part = _part(encoder, self.part)
    return part if self.name == "embeddings" else getattr(part, self.name)


def values_of(config: BertConfig) -> Iterator[Value]:
  """Yields the variables of an encoder, one by one, in Model Garden's order."""
  hidden, inner = config.hidden_size, config.intermediate_size
  heads = (config.num_attention_heads, hidden // config.num_attention_heads)
  split = ((hidden, *heads), heads)
  shapes = {
    "word": ((config.vocab_size, hidden),),
    "position": ((config.max_position_embeddings, hidden),),
    "type": ((config.type_vocab_size, hidden),),
    **dict.fromkeys(("query", "key", "value"), split),
    "attention_output": ((*heads, hidden), (hidden,)),
    "intermediate": ((hidden, inner), (inner,)),
    "output_": ((inner, hidden), (hidden,)),
    POOLER: ((hidden, hidden), (hidden,)),
  }
  for kind, part, garden, face in _parts(config.num_hidden_layers):
    sizes = shapes.get(part.rsplit(".", 1)[-1], ((hidden,),) * 2)
    for (name, theirs), shape in zip(_VALUES[kind], sizes, strict=True):
      yield Value(part, name, garden, face, theirs, shape)


def parts_of(
  encoder: BertEncoder,
) -> Iterator[tuple[str, dict[str, tf.Variable]]]:
  """Yields the parts of an encoder in Model Garden's order.

  Yields:
    Hugging Face's name of a part, and its variables by Hugging Face's names.
  """
  for kind, path, _, face in _parts(encoder.config.num_hidden_layers):
    part = _part(encoder, path)
    yield (
      face,
      {
        theirs: part if kind == "table" else getattr(part, ours)
        for ours, theirs in _VALUES[kind]
      },
    )


def _part(encoder: BertEncoder, path: str) -> Any:
  """Returns the part at a path, such as `blocks.0.query`."""
  part: Any = encoder
  for name in path.split("."):
    part = part[int(name)] if name.isdigit() else getattr(part, name)
  return part

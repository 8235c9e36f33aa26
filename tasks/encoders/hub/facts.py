"""What is known of a SavedModel: found out once, kept beside it."""

import dataclasses
import os
from typing import Any

import tensorflow as tf

from engine.errors import UserError, words_of
from engine.files import write_json
from engine.formats import read_json
from tasks.encoders.sources.saved_models import library
from tasks.encoders.sources.tensors import as_weight
from tasks.model.contract import BLOCK, INPUTS

FACTS = "hub_encoder.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
  """What is known of a SavedModel, in `hub_encoder.json` beside it.

  Attributes:
    hidden_size: of its pooled output.
    trained: which of its trainable variables pooled outputs depend on.
    layers: how many it has; 0 where names of variables do not tell.
    words: rows of its table of words, or None.
    positions: tokens of its longest row, or None.
    types: rows of its table of types, or None.
  """

  hidden_size: int
  trained: list[int]
  layers: int
  words: int | None
  positions: int | None
  types: int | None = None

  @classmethod
  def read(cls, directory: str) -> "Facts":
    """Reads what `write` has written.

    Raises:
      UserError: where it is damaged.
    """
    shape = {
      "hidden_size": int,
      "trained": [int],
      "layers": int,
      "words": int | None,
      "positions": int | None,
      "types?": int | None,
    }
    found = read_json(os.path.join(directory, FACTS), shape)
    fields = {field.name for field in dataclasses.fields(cls)}
    return cls(**{name: x for name, x in found.items() if name in fields})

  def write(self, directory: str) -> None:
    """Writes the file into a local directory."""
    write_json(os.path.join(directory, FACTS), dataclasses.asdict(self))


def inspect(path: str, model: Any) -> Facts:
  """Finds out about a SavedModel; outside of the scope of a strategy.

  Args:
    path: of the SavedModel, for messages.
    model: what was loaded from it.

  Raises:
    UserError: where it is no encoder that can be trained, or its weights are
      no finite numbers.
  """
  rows = tf.TensorSpec([None, None], tf.int32)
  found = []
  try:
    layer = library().KerasLayer(model, trainable=True)
    variables = layer.trainable_weights

    @tf.function(autograph=False)
    def trace(inputs):
      with tf.GradientTape() as tape:
        pooled = pooled_of(layer, inputs)
      found.append((pooled.shape[-1], tape.gradient(pooled, variables)))

    trace.get_concrete_function(dict.fromkeys(INPUTS, rows))
    size, gradients = found[0]
    if size is None:
      raise ValueError("the size of its pooled output is unknown")
    trained = [i for i, x in enumerate(gradients) if x is not None]
    if not trained:
      raise ValueError("it has no variable to train")
  except (KeyError, ValueError, TypeError, tf.errors.OpError) as error:
    raise UserError(
      f"The SavedModel {path} is no trainable encoder of {', '.join(INPUTS)} "
      f"({words_of(error)}): choose another --encoder."
    ) from error
  for variable in variables:
    as_weight(variable.numpy(), variable.name, path)
  names = [variable.name for variable in variables]
  numbers = [int(match[1]) for match in map(BLOCK.search, names) if match]

  def longest(word):
    tables = (v.shape[0] for v in variables if word in v.name)
    return max(tables, default=None)

  return Facts(
    hidden_size=size,
    trained=trained,
    layers=1 + max(numbers, default=-1),
    words=longest("word_embedding"),
    positions=longest("position_embedding"),
    types=longest("type_embedding"),
  )


def pooled_of(layer: Any, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
  """Runs a `hub.KerasLayer` as for inference: float32 [rows, hidden]."""
  outputs = layer(inputs, training=False)
  return tf.cast(outputs["pooled_output"], tf.float32)

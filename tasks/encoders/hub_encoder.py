"""A SavedModel that runs as the encoder itself, whatever it computes."""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from engine.errors import UserError
from engine.randomness import Stream
from tasks.encoders.hub import library

FACTS = "hub_encoder.json"
_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
_LAYER = re.compile(r"(?:^|/)layer_(\d+)/")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
  """What is known of a SavedModel, in `hub_encoder.json` beside it.

  Attributes:
    hidden_size: of its pooled output.
    trained: which of its trainable variables pooled outputs depend on.
    layers: how many it has; 0 where names of variables do not tell.
    words: rows of its table of words, or None.
    positions: tokens of its longest row, or None.
  """

  hidden_size: int
  trained: list[int]
  layers: int
  words: int | None
  positions: int | None

  @classmethod
  def read(cls, saved_model: str) -> "Facts":
    """Reads what was written beside a SavedModel."""
    path = os.path.join(os.path.dirname(saved_model), FACTS)
    with tf.io.gfile.GFile(path) as file:
      return cls(**json.load(file))

  def write(self, directory: str) -> None:
    """Writes the file into a local directory."""
    with open(os.path.join(directory, FACTS), "w") as file:
      json.dump(dataclasses.asdict(self), file)


def inspect(path: str, model: Any) -> Facts:
  """Finds out about a SavedModel; outside of the scope of a strategy.

  Args:
    path: of the SavedModel, for messages.
    model: what was loaded from it.

  Raises:
    UserError: where it is no encoder that can be trained.
  """
  rows = tf.TensorSpec([None, None], tf.int32)
  found = []
  try:
    layer = library().KerasLayer(model, trainable=True)
    variables = layer.trainable_weights

    @tf.function(autograph=False)
    def trace(inputs):
      with tf.GradientTape() as tape:
        pooled = _pooled(layer, inputs)
      found.append((pooled.shape[-1], tape.gradient(pooled, variables)))

    trace.get_concrete_function(dict.fromkeys(_INPUTS, rows))
    size, gradients = found[0]
    if size is None:
      raise ValueError("the size of its pooled output is unknown")
    trained = [i for i, x in enumerate(gradients) if x is not None]
    if not trained:
      raise ValueError("it has no variable to train")
  except (KeyError, ValueError, TypeError, tf.errors.OpError) as error:
    reason = " ".join(str(error).split())[:160]
    raise UserError(
      f"The SavedModel {path} is no trainable encoder of {', '.join(_INPUTS)} "
      f"({reason}): choose another --encoder."
    ) from error
  names = [variable.name for variable in variables]
  numbers = [int(match[1]) for match in map(_LAYER.search, names) if match]

  def longest(word):
    tables = (v.shape[0] for v in variables if word in v.name)
    return max(tables, default=None)

  return Facts(
    hidden_size=size,
    trained=trained,
    layers=1 + max(numbers, default=-1),
    words=longest("word_embedding"),
    positions=longest("position_embedding"),
  )


class HubEncoder(tf_keras.layers.Layer):
  """Runs a SavedModel as a trainable `hub.KerasLayer` on dense rows.

  It needs a row for each pair (`batching` "pad" or "bucket"). Dropout inside a
  SavedModel draws from a hidden generator, which no resume could repeat: so it
  runs as for inference, in training too, and only the head has dropout.
  Its arithmetic is that of its graph (float32), whatever the precision.
  """

  def __init__(self, saved_model: str, **kwargs):
    """Loads the SavedModel, in the scope of the strategy.

    Args:
      saved_model: its directory, with `hub_encoder.json` beside it.
      **kwargs: of the Keras layer.
    """
    super().__init__(**kwargs)
    facts = Facts.read(saved_model)
    self.hidden_size = facts.hidden_size
    self._layer = library().KerasLayer(
      saved_model, trainable=True, dtype="float32"
    )
    variables = self._layer.trainable_weights
    self._trained = {variables[i].ref() for i in facts.trained}

  @property
  def trainable_weights(self):
    """The variables that pooled outputs depend on."""
    return [v for v in super().trainable_weights if v.ref() in self._trained]

  @property
  def non_trainable_weights(self):
    """The others."""
    rest = super().trainable_weights
    rest = [v for v in rest if v.ref() not in self._trained]
    return rest + super().non_trainable_weights

  def call(
    self,
    features: Mapping[str, tf.Tensor],
    random: Stream | None = None,
    pooled_only: bool = True,
  ) -> tuple[None, tf.Tensor]:
    """Encodes sequences that lie in rows of their own.

    Args:
      features: as `tasks.model.encoder.Encoder` takes them.
      random: has no use here.
      pooled_only: has to be true.

    Returns:
      None, and the pooled output, float32 [shares, sequences, hidden].
    """
    del random
    assert pooled_only
    rows, segments = features["rows"], features["segments"]
    shares, count, width = rows.shape
    assert features["firsts"].shape == [shares, count], "a row holds one pair"
    mask = tf.cast(segments > 0, tf.int32)
    words, types = (
      tf.gather(features[name], rows, batch_dims=1) * mask
      for name in ("word_ids", "type_ids")
    )
    dense = [
      tf.reshape(x, [shares * count, width]) for x in (words, mask, types)
    ]
    pooled = _pooled(self._layer, dict(zip(_INPUTS, dense, strict=True)))
    return None, tf.reshape(pooled, [shares, count, self.hidden_size])


def _pooled(layer, inputs):
  outputs = layer(inputs, training=False)
  return tf.cast(outputs["pooled_output"], tf.float32)

"""A SavedModel that runs as the encoder itself, whatever it computes."""

import dataclasses
import os
import re
from collections.abc import Mapping

import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf import trackable_object_graph_pb2

from engine.errors import UserError
from engine.randomness import Stream
from tasks.hub import library

_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
_LAYER = re.compile(r"(?:^|/)layer_(\d+)/")


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What the names and shapes of variables say of an encoder.

  Attributes:
    layers: how many it has: 0 where names do not tell.
    words: rows of its table of words, or None.
    positions: tokens of its longest row, or None.
  """

  layers: int
  words: int | None
  positions: int | None


def sizes_of(saved_model: str) -> Sizes:
  """Reads sizes off the variables of a SavedModel, without loading it.

  Raises:
    UserError: where it is damaged.
  """
  graph = trackable_object_graph_pb2.TrackableObjectGraph()
  try:
    reader = tf.compat.v1.train.NewCheckpointReader(
      os.path.join(saved_model, "variables", "variables")
    )
    graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
  except (tf.errors.OpError, ValueError, RuntimeError) as error:
    reason = " ".join(str(error).split())[:160]
    raise UserError(
      f"The SavedModel {saved_model} cannot be read ({reason}): fetch it again."
    ) from error
  shapes = reader.get_variable_to_shape_map()
  rows = {
    attribute.full_name: (shapes.get(attribute.checkpoint_key) or [0])[0]
    for node in graph.nodes
    for attribute in node.attributes
  }
  table = lambda word: max((n for k, n in rows.items() if word in k), default=0)
  numbers = [int(match[1]) for match in map(_LAYER.search, rows) if match]
  return Sizes(
    layers=1 + max(numbers, default=-1),
    words=table("word_embedding") or None,
    positions=table("position_embedding") or None,
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
      saved_model: its directory.
      **kwargs: of the Keras layer.

    Raises:
      UserError: where it is no encoder that can be trained.
    """
    super().__init__(**kwargs)
    self._path = saved_model
    try:
      self._layer = library().KerasLayer(
        saved_model, trainable=True, dtype="float32"
      )
      self.hidden_size, self._reached = self._inspect()
    except (OSError, KeyError, ValueError, TypeError, tf.errors.OpError) as e:
      reason = " ".join(str(e).split())[:160]
      raise UserError(
        f"The SavedModel {saved_model} is no trainable encoder of "
        f"{', '.join(_INPUTS)} ({reason}): choose another --encoder."
      ) from e

  def _inspect(self) -> tuple[int, set]:
    """Traces it: the size of what it puts out, and which variables matter."""
    rows = tf.TensorSpec([None, None], tf.int32)
    variables = self._layer.trainable_weights
    found = []

    @tf.function
    def trace(inputs):
      with tf.GradientTape() as tape:
        pooled = self._pooled(inputs)
      found.append((pooled.shape[-1], tape.gradient(pooled, variables)))
      return pooled

    trace.get_concrete_function(dict.fromkeys(_INPUTS, rows))
    size, gradients = found[0]
    if size is None:
      raise ValueError("the size of its pooled output is unknown")
    reached = {
      v.ref()
      for v, gradient in zip(variables, gradients, strict=True)
      if gradient is not None
    }
    if not reached:
      raise ValueError("no variable of it can be trained")
    return size, reached

  @property
  def trainable_weights(self):
    """The variables that pooled outputs depend on."""
    return [v for v in super().trainable_weights if v.ref() in self._reached]

  @property
  def non_trainable_weights(self):
    """The others."""
    rest = super().trainable_weights
    rest = [v for v in rest if v.ref() not in self._reached]
    return rest + super().non_trainable_weights

  def call(
    self,
    features: Mapping[str, tf.Tensor],
    random: Stream | None = None,
    pooled_only: bool = True,
  ) -> tuple[None, tf.Tensor]:
    """Encodes sequences that lie in rows of their own.

    Args:
      features: as `tasks.encoder.Encoder` takes them.
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
    pooled = self._pooled(dict(zip(_INPUTS, dense, strict=True)))
    return None, tf.reshape(pooled, [shares, count, self.hidden_size])

  def _pooled(self, inputs):
    outputs = self._layer(inputs, training=False)
    return tf.cast(outputs["pooled_output"], tf.float32)

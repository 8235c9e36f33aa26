"""The layer around a SavedModel."""

from collections.abc import Mapping

import tensorflow as tf

from engine.randomness import Stream
from tasks.encoders.hub.facts import Facts, pooled_of
from tasks.encoders.sources.saved_models import library
from tasks.model.contract import INPUTS, Encoder


class HubEncoder(Encoder):
  """Runs a SavedModel as a trainable `hub.KerasLayer` on dense rows.

  It needs a row for each pair (`batching` "pad" or "bucket"). Dropout inside a
  SavedModel draws from a hidden generator, which no resume could repeat: so it
  runs as for inference, in training too, and only the head has dropout.
  Its arithmetic is that of its graph (float32), whatever the precision.
  """

  def __init__(self, saved_model: str, facts: Facts, **kwargs):
    """Loads the SavedModel, in the scope of the strategy.

    Args:
      saved_model: its directory.
      facts: that are known of it.
      **kwargs: of the Keras layer.
    """
    super().__init__(**kwargs)
    self.hidden_size = facts.hidden_size
    self._layer = library().KerasLayer(
      saved_model, trainable=True, dtype="float32"
    )
    variables = self._layer.trainable_weights
    self._trained = {variables[i].ref() for i in facts.trained}

  @property
  def every_weight(self):
    """The variables that pooled outputs depend on."""
    return [v for v in super().every_weight if v.ref() in self._trained]

  @property
  def non_trainable_weights(self):
    """The others."""
    rest = [v for v in super().every_weight if v.ref() not in self._trained]
    return rest + super().non_trainable_weights

  def call(
    self,
    features: Mapping[str, tf.Tensor],
    random: Stream | None = None,
    pooled_only: bool = False,
  ) -> tuple[None, tf.Tensor]:
    """Encodes sequences that lie in rows of their own; see `Encoder.call`.

    The sequence output is always left out.
    """
    del random, pooled_only
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
    pooled = pooled_of(self._layer, dict(zip(INPUTS, dense, strict=True)))
    return None, tf.reshape(pooled, [shares, count, self.hidden_size])

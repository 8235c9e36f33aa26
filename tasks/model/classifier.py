"""An encoder with a head: what is trained."""

from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from engine.randomness import Stream
from tasks.model.contract import Encoder
from tasks.model.layers import build_part
from tasks.model.stream import expanded


class PairClassifier(tf_keras.Model):
  """An encoder and a head: logits of each pair, [shares, pairs, outputs].

  A head that learns scores is told where they lie, and how far apart: it learns
  the rest, whatever their unit is.

  Attributes:
    mean: of the scores, [1]; only where there are scores.
    deviation: their standard deviation, [1]; likewise.
  """

  def __init__(
    self,
    encoder: Encoder,
    *,
    classes: int,
    dropout: float,
    scores: bool = False,
  ):
    """Initializes the classifier.

    Args:
      encoder: with or without variables.
      classes: outputs of the head.
      dropout: rate for the pooled output.
      scores: whether outputs are scores.
    """
    super().__init__(name="pair_classifier")
    self.encoder = encoder
    self.head = tf_keras.layers.Dense(classes, name="head")
    self._dropout = dropout
    self._scores = scores

  def build(self, input_shape):
    """Creates all variables; no input shape is needed."""
    with tf.name_scope(self.name):
      build_part(self.encoder, input_shape)
      build_part(self.head, [None, self.encoder.hidden_size])
      if self._scores:
        self.mean, self.deviation = (
          self.add_weight(
            name=name, shape=[1], initializer=initial, trainable=False
          )
          for name, initial in (("mean", "zeros"), ("deviation", "ones"))
        )
    self.built = True

  def locate_scores(self, mean: float, deviation: float) -> None:
    """Says where scores lie."""
    self.mean.assign([mean])
    self.deviation.assign([deviation])

  def cool(self, temperature: float) -> None:
    """Divides all logits by a temperature: in the head, so that exports do."""
    for weight in self.head.weights:
      weight.assign(weight / temperature)

  def call(
    self, features: Mapping[str, tf.Tensor], random: Stream | None = None
  ) -> tf.Tensor:
    """Computes float32 logits; `random` gives the dropout in training.

    Args:
      features: as `stream.expanded` takes them.
      random: bits for dropout, or None.
    """
    features = expanded(features)
    _, pooled = self.encoder(features, random=random, pooled_only=True)
    if random is not None:
      names = tf.gather(features["names"], features["firsts"], batch_dims=1)
      flat = tf.reshape(pooled, [-1, pooled.shape[-1]])
      flat = random.dropout(flat, self._dropout, names=tf.reshape(names, [-1]))
      pooled = tf.reshape(flat, pooled.shape)
    outputs = tf.cast(self.head(pooled), tf.float32)
    if self._scores:
      outputs = outputs * self.deviation + self.mean
    return outputs

  def readout(self) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what makes outputs of the pooled output of the encoder.

    Returns:
      Kernel [hidden, outputs] and bias [outputs], float32.
    """
    kernel, bias = (tf.convert_to_tensor(x) for x in self.head.weights)
    if self._scores:
      kernel, bias = kernel * self.deviation, bias * self.deviation + self.mean
    return kernel, bias

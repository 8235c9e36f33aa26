"""Reads handwritten digits: a whole task that is no sentence pair, to copy.

    python -m launch.train --task=examples.digits:Digits --model_dir=RUN
    python -m launch.train --task=examples.digits:Digits --help
    python -m launch.predict --model_dir=RUN --input=LINES_OF_64_NUMBERS
    python -m launch.export --model_dir=RUN --export_dir=DIR

The images are those that scikit-learn ships: 1,797 of 8x8 pixels.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from engine.config import TaskConfig, check, setting
from engine.errors import UserError
from engine.randomness import Stream
from engine.task import ArraySource, Task

# Of the images in their order.
SPLITS = {"train": slice(0, 1437), "dev": slice(1437, 1797)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitsConfig(TaskConfig):
  """How large the classifier is, and how much of it is dropped."""

  width: int = setting(64, "Filters of the convolution.")
  dropout: float = setting(0.25, "Share of its outputs dropped in training.")

  def __post_init__(self):
    check(self.width > 0, "task.width", self.width, "1 or more")
    check(
      0 <= self.dropout < 1,
      "task.dropout",
      self.dropout,
      "at least 0 and below 1",
    )

  def recipe(self) -> Mapping[str, Any]:
    return {"optimizer": {"learning_rate": 1e-2}, "train": {"epochs": 20.0}}


class DigitsModel(tf_keras.Model):
  """A convolution and a head: logits of ten digits."""

  def __init__(self, config: DigitsConfig):
    super().__init__(name="digits")
    self.convolution = tf_keras.layers.Conv2D(
      config.width, kernel_size=3, activation="relu", name="convolution"
    )
    self.pool = tf_keras.layers.MaxPool2D()
    self.flat = tf_keras.layers.Flatten()
    self.head = tf_keras.layers.Dense(10, name="head")
    self._dropout = config.dropout

  def call(self, pixels: tf.Tensor, random: Stream | None = None) -> tf.Tensor:
    """Computes float32 logits [images, 10] of images [images, 8, 8, 1]."""
    x = self.flat(self.pool(self.convolution(pixels)))
    if random is not None:  # Training: the same on any number of replicas.
      x = random.dropout(x, self._dropout)
    return tf.cast(self.head(x), tf.float32)


class Digits(Task):
  """An image in, one of ten digits out."""

  config_class = DigitsConfig
  goal = ("accuracy", "max")

  def source(self, split: str) -> ArraySource:
    # Imported here: scikit-learn costs a second.
    from sklearn.datasets import load_digits

    if split not in SPLITS:
      raise UserError(f"`split` is {split!r}, but must be one of {[*SPLITS]}.")
    digits = load_digits()
    pixels = (digits.images[..., np.newaxis] / 16).astype(np.float32)
    labels = digits.target.astype(np.int32)
    return ArraySource({"pixels": pixels[SPLITS[split]]}, labels[SPLITS[split]])

  def build_model(self) -> tf_keras.Model:
    model = DigitsModel(self.config)
    model.build([None, 8, 8, 1])
    return model

  def initialize(self, model: tf_keras.Model, seed: int) -> None:
    for i, weight in enumerate(model.trainable_variables):
      if "bias" in weight.name:
        value = tf.zeros(weight.shape)
      else:
        deviation = np.sqrt(2 / np.prod(weight.shape[:-1]))
        value = deviation * tf.random.stateless_normal(weight.shape, [seed, i])
      weight.assign(value)

  def forward(
    self, model: tf_keras.Model, features: Any, random: Stream | None
  ) -> tf.Tensor:
    return model(features["pixels"], random=random)

  def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)

  def metrics(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    from sklearn.metrics import accuracy_score, confusion_matrix

    predicted = np.argmax(outputs, axis=-1)
    return {
      "accuracy": float(accuracy_score(labels, predicted)),
      "majority": float(np.bincount(labels).max() / len(labels)),
      "confusion": confusion_matrix(
        labels, predicted, labels=range(10)
      ).tolist(),
    }

  # A task can be trained without what follows.

  def read_inputs(self, lines: Iterable[tuple[str, str]]) -> ArraySource:
    """Reads an image a line: 64 numbers from 0 to 16, with commas or blanks."""
    images = [_parse(line, place) for place, line in lines]
    pixels = np.array(images, np.float32).reshape([-1, 8, 8, 1]) / 16
    return ArraySource({"pixels": pixels}, np.zeros(len(pixels), np.int32))

  def readings(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
      "digit": tf.argmax(outputs, axis=-1),
      "probabilities": tf.nn.softmax(outputs),
    }

  def describe_output(
    self, reading: Mapping[str, np.ndarray], line: str
  ) -> dict[str, Any]:
    shares = dict(enumerate(reading["probabilities"].tolist()))
    return {"digit": int(reading["digit"]), "probabilities": shares}

  def serving_signature(self) -> dict[str, tf.TensorSpec]:
    return {"pixels": tf.TensorSpec([None, 8, 8, 1], tf.float32)}


def _parse(line: str, place: str) -> list[float]:
  try:
    pixels = [float(x) for x in re.split(r"[,\s]+", line.strip())]
  except ValueError:
    pixels = []
  if len(pixels) != 64 or not all(0 <= x <= 16 for x in pixels):
    raise UserError(
      f"{place}: write an image as 64 numbers from 0 to 16, row by row."
    )
  return pixels

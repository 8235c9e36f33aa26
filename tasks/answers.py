"""What a task asks of a pair: one of some classes, or a score."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import UserError


class Answers(abc.ABC):
  """What labels mean.

  Attributes:
    classes: names of the classes, in the order of the labels; none: a score.
    outputs: of the head.
    dtype: of labels in a batch.
    goal: as `engine.task.Task.goal`.
  """

  classes: tuple[str, ...] = ()
  outputs: int
  dtype: type[np.generic]
  goal: tuple[str, str]

  @abc.abstractmethod
  def number(self, label: str, place: str) -> float:
    """Returns the number of a label that a file has as text.

    Raises:
      UserError: naming the place, where it is none.
    """

  @abc.abstractmethod
  def check(self, labels: np.ndarray, place: str) -> None:
    """Raises `UserError` where one of many labels cannot be."""

  @abc.abstractmethod
  def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Loss of each pair, float32 [...], of outputs [..., outputs]."""

  @abc.abstractmethod
  def metrics(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    """Metrics of a whole split: labels [pairs], outputs [pairs, outputs]."""

  @abc.abstractmethod
  def readings(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    """What outputs [pairs, outputs] say, by name: float32 [pairs, ...]."""

  @abc.abstractmethod
  def describe(self, reading: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Names and values to be written of the readings of one pair."""


class Classes(Answers):
  """One of some classes, by softmax and cross-entropy."""

  dtype = np.int32
  goal = ("accuracy", "max")

  def __init__(
    self,
    names: Sequence[str],
    *,
    smoothing: float = 0.0,
    ranked: bool = False,
  ):
    """Initializes the classes.

    Args:
      names: in the order of the labels.
      smoothing: share of each label that is spread over all classes (Szegedy
        et al., arXiv 1512.00567).
      ranked: whether metrics have the area under precision and recall of the
        second of two classes.
    """
    self._ranked = ranked and len(names) == 2
    self.classes = tuple(names)
    self.outputs = len(names)
    self._smoothing = smoothing
    self._numbers = {name: i for i, name in enumerate(names)}
    if not any(name.isdecimal() for name in names):
      # Published files say 0 and 1 where their papers have names.
      self._numbers |= {str(i): i for i in range(len(names))}

  def number(self, label: str, place: str) -> float:
    if label not in self._numbers:
      raise UserError(
        f"{place}: the label {label!r} is none of {list(self.classes)}: mend "
        "it, name all by --classes, or leave such pairs out by --unlabelled."
      )
    return self._numbers[label]

  def check(self, labels: np.ndarray, place: str) -> None:
    if labels.min() < 0 or labels.max() >= self.outputs:
      raise UserError(
        f"{place} has pairs without a label, or with one that is none of the "
        f"{self.outputs} classes: choose another split."
      )

  def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
    if self._smoothing:
      logits = tf.nn.log_softmax(outputs)
      spread = -tf.reduce_mean(logits, axis=-1)
      losses += self._smoothing * (spread - losses)
    return losses

  def metrics(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    # Imported here: scikit-learn costs a second.
    from sklearn import metrics

    called = np.argmax(outputs, axis=-1)
    f1 = metrics.f1_score(
      labels,
      called,
      average="binary" if self.outputs == 2 else "macro",
      zero_division=0.0,
    )
    area = {}
    if self._ranked:
      scores = outputs[:, 1] - outputs[:, 0]
      area["pr_auc"] = float(metrics.average_precision_score(labels, scores))
    return {
      "accuracy": float(metrics.accuracy_score(labels, called)),
      "f1": float(f1),
      **area,
      "majority": float(np.bincount(labels).max() / len(labels)),
      "confusion": metrics.confusion_matrix(
        labels, called, labels=range(self.outputs)
      ).tolist(),
    }

  def readings(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"probabilities": tf.nn.softmax(outputs)}

  def describe(self, reading: Mapping[str, np.ndarray]) -> dict[str, Any]:
    shares = map(float, reading["probabilities"])
    table = dict(zip(self.classes, shares, strict=True))
    return {"label": max(table, key=table.get), "probabilities": table}


class Score(Answers):
  """A number, by its squared error."""

  outputs = 1
  dtype = np.float32
  goal = ("pearson", "max")

  def number(self, label: str, place: str) -> float:
    try:
      number = float(label)
    except ValueError:
      number = float("nan")
    if not np.isfinite(number):
      raise UserError(
        f"{place}: the label {label!r} is no number: drop --kind=regression "
        "if labels are classes."
      )
    return number

  def check(self, labels: np.ndarray, place: str) -> None:
    if not np.isfinite(labels).all():
      raise UserError(f"{place} has a score that is not finite: encode again.")

  def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    return tf.square(outputs[..., 0] - labels)

  def metrics(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    # Imported here: SciPy costs a moment.
    from scipy import stats

    scores = outputs[:, 0].astype(np.float64)
    found = {"pearson": 0.0, "spearman": 0.0}  # Undefined where all are equal.
    if len(set(scores)) > 1 and len(set(labels.tolist())) > 1:
      found["pearson"] = float(stats.pearsonr(labels, scores)[0])
      found["spearman"] = float(stats.spearmanr(labels, scores)[0])
    return {**found, "mse": float(np.mean(np.square(scores - labels)))}

  def readings(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"score": outputs[..., 0]}

  def describe(self, reading: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {"score": float(reading["score"])}

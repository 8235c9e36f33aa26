"""What a task asks of a pair: one of some classes, or a score."""

import abc
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import UserError, listed, quoted
from tasks import calibration
from tasks.class_names import ClassNames
from tasks.class_scores import class_scores
from tasks.label_text import same

_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_LARGEST = 1e15  # Of scores: their squares add up in float32.


class Answers(abc.ABC):
  """What labels mean.

  Attributes:
    classes: names of the classes, in the order of the labels; none: a score.
    outputs: of the head.
    dtype: of labels in a batch.
    unknown: stands in records for the label of a pair that has none.
    goal: as `engine.task.Task.goal`.
  """

  classes: tuple[str, ...] = ()
  outputs: int
  dtype: type[np.generic]
  unknown: float
  goal: tuple[str, str]

  @abc.abstractmethod
  def number(self, label: str, place: str) -> float:
    """Returns the number of a label that a file has as text.

    Raises:
      UserError: naming the place, where it is none.
    """

  @abc.abstractmethod
  def _are(self, labels: np.ndarray) -> np.ndarray:
    """Which of many numbers labels can be, bool [pairs]."""

  def check(self, labels: np.ndarray, place: str) -> None:
    """Raises `UserError` where one of many labels cannot be."""
    bad = np.flatnonzero(~self._are(labels))
    if len(bad):
      kind = f"of the {self.outputs} classes" if self.classes else "score"
      raise UserError(
        f"{place} has pairs without a label, or with one that is no {kind}: "
        f"{len(bad):,}, the first is pair {bad[0]:,} with {labels[bad[0]]}: "
        "choose another split, or mend them."
      )

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
  unknown = -1
  goal = ("accuracy", "max")

  def __init__(
    self,
    names: Sequence[str],
    *,
    given: bool = True,
    positive: str = "",
    smoothing: float = 0.0,
  ):
    """Initializes the classes.

    Args:
      names: in the order of the labels.
      given: as `ClassNames` takes it.
      positive: of two classes the one that F1 speaks of; "": the second.
      smoothing: share of each label that is spread over all classes (Szegedy
        et al., arXiv 1512.00567).

    Raises:
      UserError: where `positive` is none of two classes.
    """
    self.classes = tuple(names)
    self.outputs = len(names)
    two = self.outputs == 2
    if positive and not (two and positive in names):
      cure = "name one" if two else "leave it out, since F1 is their mean"
      raise UserError(
        f"`positive` is {quoted(positive)}, but must be one of two classes, "
        f"and there are {listed(names)}: {cure}."
      )
    self._positive = names.index(positive) if positive else self.outputs - 1
    self._smoothing = smoothing
    self._names = ClassNames(names, given=given)

  def number(self, label: str, place: str) -> float:
    return self._names.number(label, place)

  def _are(self, labels: np.ndarray) -> np.ndarray:
    return (labels >= 0) & (labels < self.outputs)

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
    positive, two = self._positive, self.outputs == 2
    f1 = metrics.f1_score(
      labels,
      called,
      average="binary" if two else "macro",
      pos_label=positive if two else 1,
      zero_division=0.0,
    )
    more: dict[str, Any] = {}
    if two:
      more["positive"] = self.classes[positive]
    return {
      "accuracy": float(metrics.accuracy_score(labels, called)),
      "f1": float(f1),
      **more,
      "majority": float(np.bincount(labels).max() / len(labels)),
      "confusion": metrics.confusion_matrix(
        labels, called, labels=range(self.outputs)
      ).tolist(),
      **class_scores(labels, outputs, self.classes, positive),
      "calibration": calibration.errors_of(
        labels, calibration.shares_of(outputs)
      ),
    }

  def readings(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"probabilities": tf.nn.softmax(outputs)}

  def describe(self, reading: Mapping[str, np.ndarray]) -> dict[str, Any]:
    shares = map(float, reading["probabilities"])
    table = dict(zip(self.classes, shares, strict=True))
    return {"label": max(table, key=table.__getitem__), "probabilities": table}


class Score(Answers):
  """A number, by its squared error."""

  outputs = 1
  dtype = np.float32
  unknown = math.nan
  goal = ("pearson", "max")

  def __init__(self, limits: tuple[float, float] = (-math.inf, math.inf)):
    """Initializes the score.

    Args:
      limits: the least and the greatest that a label can be.
    """
    self._limits = limits

  def number(self, label: str, place: str) -> float:
    written = same(label)  # So that a truth is 1 in each kind of file.
    if not re.fullmatch(_NUMBER, written, re.ASCII):
      raise UserError(
        f"{place}: the label {quoted(label)} is no number: drop "
        "--kind=regression if labels are classes."
      )
    number = float(written)
    least, most = self._limits
    if not max(least, -_LARGEST) <= number <= min(most, _LARGEST):
      raise UserError(
        f"{place}: the score {quoted(label)} is not from "
        f"{max(least, -_LARGEST):g} to {min(most, _LARGEST):g}: mend it, or "
        "leave such pairs out by --unlabelled."
      )
    return number

  def _are(self, labels: np.ndarray) -> np.ndarray:
    least, most = self._limits
    return (labels >= least) & (labels <= most) & np.isfinite(labels)

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

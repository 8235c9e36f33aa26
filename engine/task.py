"""What a task must say; the engine does the rest.

A task is written for one replica: it never sees a strategy, a step or a global
batch, and it does no reduction.
"""

import abc
import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from engine.config import TaskConfig
from engine.errors import UserError, words_of
from engine.randomness import Stream

# Who writes a task finds here what its sources are made of.
from engine.source import EXAMPLES as EXAMPLES
from engine.source import LABELS as LABELS
from engine.source import TOTAL as TOTAL
from engine.source import WEIGHTS as WEIGHTS
from engine.source import ArraySource as ArraySource
from engine.source import Layout as Layout
from engine.source import Source
from engine.source import columns as columns
from engine.source import digest_of as digest_of

# Of labels [examples, ...] and outputs of a whole split, as `Task.metrics`.
Metric = Callable[[np.ndarray, Any], float]


class Task(abc.ABC):
  """A single-replica view of what is learned.

  `--task=module:Class` builds it from an instance of its `config_class`.

  Attributes:
    config_class: dataclass of its settings, a subclass of `TaskConfig`.
    config: its settings.
    goal: the metric of an evaluation that says which weights are best, and
      whether "max" or "min" of it is.
    noun: what an example is called, for messages.
    more_metrics: name -> a metric that stands beside its own: --metric.
  """

  config_class: type[TaskConfig] = TaskConfig
  goal: tuple[str, str] = ("loss", "min")
  noun: str = "example"
  more_metrics: Mapping[str, Metric] = types.MappingProxyType({})

  def __init__(self, config: TaskConfig | None = None):
    self.config = config or self.config_class()

  @abc.abstractmethod
  def build_model(self) -> tf_keras.Model:
    """Builds the model, with all of its variables, under the set policy."""

  @abc.abstractmethod
  def source(self, split: str) -> Source:
    """Opens a split: "train", or the name of an evaluation split."""

  @abc.abstractmethod
  def loss(self, labels: tf.Tensor, outputs: Any) -> tf.Tensor:
    """Loss of each example, float32, shaped as the batch's weights."""

  @abc.abstractmethod
  def metrics(self, labels: np.ndarray, outputs: Any) -> Mapping[str, Any]:
    """Metrics of a whole split from all labels and outputs, on the host.

    Args:
      labels: array [examples, ...] in the order of the split.
      outputs: the model's outputs, float32 arrays [examples, ...].
    """

  def all_metrics(self, labels: np.ndarray, outputs: Any) -> dict[str, Any]:
    """Returns the `metrics` and the `more_metrics`; it takes what they do.

    Raises:
      UserError: where one of the latter fails, or is named like a former.
    """
    found = dict(self.metrics(labels, outputs))
    for name, function in self.more_metrics.items():
      if name in found:
        raise UserError(
          f"`metric` {name} is one that the task has: call your function "
          "otherwise."
        )
      copies = tf.nest.map_structure(np.copy, (labels, outputs))
      found[name] = _number(name, function, *copies)
    return found

  def forward(
    self, model: tf_keras.Model, features: Any, random: Stream | None
  ) -> Any:
    """Computes the outputs; in training `random` gives what is random."""
    return model(features, training=random is not None)

  def initialize(self, model: tf_keras.Model, seed: int) -> None:
    """Gives `model` its first weights; called where no checkpoint exists."""
    del model, seed

  def inherited(
    self, model: tf_keras.Model, assets: str
  ) -> Mapping[str, tf.Module]:
    """Parts of a model that another run's weights serve for.

    Args:
      model: with first weights.
      assets: directory of what the other run's task has saved.

    Returns:
      Attribute of the model -> the part of that name, which both runs have.
    """
    del model, assets
    raise self._lacks("inherited", "which parts another run's weights serve")

  def layer_depth(self, variable_name: str) -> int:
    """Layers between a variable and the top, for layer-wise decay."""
    del variable_name
    return 0

  @property
  def irreproducible(self) -> str:
    """Why a share has not the same bits in any process; empty: it has."""
    return ""

  def check_assets(self, directory: str) -> None:
    """Refuses to go on with a run whose assets are of another task.

    Args:
      directory: of the assets; it need not be there.

    Raises:
      UserError: naming what differs.
    """
    del directory

  def save_assets(self, directory: str) -> None:
    """Writes what a later process needs to build this task again."""
    del directory

  @classmethod
  def from_assets(cls, config: Any, directory: str) -> "Task":
    """Builds the task of a run again, with what `save_assets` wrote."""
    del directory
    return cls(config)

  # What follows is for launch.predict and launch.export.

  def read_inputs(self, lines: Iterable[tuple[str, str]]) -> Source:
    """Reads an example from each line; labels are not looked at.

    Args:
      lines: (place, text) of each; the place is for complaints.

    Returns:
      A source of one example a line; but of those in its `unread`.
    """
    raise self._lacks("read_inputs", "by which lines of text are read")

  def read_split(self, split: str) -> Source:
    """Opens a split to predict it: its labels need not be known."""
    return self.source(split)

  def readings(self, outputs: Any) -> Mapping[str, Any]:
    """What outputs say: name -> tensor [examples, ...]. A server runs it too.

    Args:
      outputs: the model's, [examples, ...].
    """
    return outputs if isinstance(outputs, Mapping) else {"outputs": outputs}

  def describe_output(
    self, reading: Mapping[str, np.ndarray], line: str
  ) -> Mapping[str, Any]:
    """Names and values to be written of an example: texts, numbers, or some.

    Args:
      reading: of the example, an array [...] of each of the `readings`.
      line: that it was read from, or that its `Source` describes it by.
    """
    del line
    return {name: np.asarray(x).tolist() for name, x in reading.items()}

  @property
  def submissions(self) -> Mapping[str, str]:
    """Splits that somebody wants predictions of -> names of their files."""
    return {"test": "test.tsv"}

  def describe_split(
    self, split: str, source: Source, readings: Mapping[str, np.ndarray]
  ) -> Iterator[Mapping[str, Any]]:
    """Yields a row of the file of predictions of a split for each example."""
    del split
    every = np.arange(len(source))
    numbers, lines = source.ids(every), source.describe(every)
    for number, line, reading in zip(
      numbers, lines, each_of(readings), strict=True
    ):
      yield {"id": number, **self.describe_output(reading, line)}

  def serving_signature(self) -> Mapping[str, tf.TensorSpec]:
    """Features that a server is given: name -> spec [None, ...]."""
    raise self._lacks("serving_signature", "what a server is to be given")

  def export(self, model: tf_keras.Model, form: str, directory: str) -> str:
    """Writes a trained model for others to use; a SavedModel by default.

    Args:
      model: with its weights, in float32.
      form: one of the formats of launch.export.
      directory: does not exist yet.

    Returns:
      What can be done with it, for a line.
    """
    if form != "saved_model":
      raise self._lacks("export", f"which writes the format {form!r}")
    inputs = {
      name: tf.TensorSpec(spec.shape, spec.dtype, name)
      for name, spec in self.serving_signature().items()
    }
    serve = tf.function(
      lambda features: self.readings(self.forward(model, features, None)),
      input_signature=[inputs],
      autograph=False,
    )
    served = tf.Module()
    served.weights = model.variables
    tf.saved_model.save(served, directory, serve.get_concrete_function())
    return f"signature serving_default ({', '.join(inputs)})"

  def _lacks(self, method: str, what: str) -> UserError:
    """The error of a method that a task need not have, until it is called."""
    return UserError(
      f"The task {type(self).__name__} does not define `{method}`, {what}: "
      "define it (docs/write_a_task.md)."
    )


def _number(
  name: str, metric: Metric, labels: np.ndarray, outputs: Any
) -> float:
  """Returns the value of a metric that somebody else has written."""
  try:
    value = float(metric(labels, outputs))
  except (Exception, SystemExit) as error:
    raise UserError(
      f"`metric` {name} fails ({words_of(error)}): mend it; the same command "
      "goes on."
    ) from error
  if not math.isfinite(value):
    raise UserError(
      f"`metric` {name} is {value}, but must be finite: return a number where "
      "it is not defined."
    ) from ArithmeticError(value)
  return value


def each_of(
  readings: Mapping[str, np.ndarray],
) -> Iterator[dict[str, np.ndarray]]:
  """Yields the readings of each example: name -> array [...]."""
  for values in zip(*readings.values(), strict=True):
    yield dict(zip(readings, values, strict=True))


class Watcher:
  """Looks at a run from outside, and cannot alter it: --action=module:Class.

  A subclass defines what it wants to hear of. It is built without arguments;
  the chief's is called, between two device loops, with copies. What it raises
  is told and ends it, not the run, whose exit status is then 1.
  """

  def begin(self, directory: str, config: Mapping[str, Any], step: int) -> None:
    """A run begins, or goes on.

    Args:
      directory: of the run.
      config: dotted name -> value of each setting.
      step: that it is at.
    """

  def log(self, kind: str, step: int, point: Mapping[str, Any]) -> None:
    """A point was logged: of kind "train" or "eval", as `metrics.jsonl` has it.

    After a stop some may come again, with the same values.
    """

  def saved(self, step: int) -> None:
    """A checkpoint exists: told with the next log point, or at the end."""

  def end(self, result: Mapping[str, Any] | None) -> None:
    """A run has ended, with `result.json`; or, with None, stopped to go on."""

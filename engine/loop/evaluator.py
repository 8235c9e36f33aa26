"""Evaluation that counts each example once, wherever it was computed."""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orbit
import tensorflow as tf
import tf_keras

from engine.certainty.intervals import intervals_of
from engine.cluster.peers import gather_rows
from engine.fusion import plain
from engine.loop.boundary import Boundary
from engine.loop.inputs import Inputs
from engine.loop.order import Order
from engine.loop.programs import Programs, Shape, dispatching
from engine.measure.ledger import Ledger
from engine.measure.terminal import INTERVALS, OF_RECORD
from engine.step.averages import Averages
from engine.step.canonical import each, in_parts, share
from engine.step.finite import check_losses
from engine.task import (
  EXAMPLES,
  LABELS,
  TOTAL,
  WEIGHTS,
  Source,
  Task,
  columns,
)


class Evaluator(orbit.StandardEvaluator):
  """Evaluates one model on one split.

      for step in range(inputs.order.num_batches):
        give replicas batch(step)                  # they have the next one
        read outputs and losses of the one before  # of this worker's replicas
      gather the rows of all workers               # once
      place each example by its index in the split
      return task.all_metrics(labels, outputs) and the mean loss

  The metrics are computed once, on the host, from every example in the order
  of the split: they cannot depend on replicas or on the batch size.
  """

  def __init__(
    self,
    *,
    task: Task,
    model: tf_keras.Model,
    inputs: Inputs,
    strategy: tf.distribute.Strategy,
    ledger: Ledger,
    boundary: Boundary | None = None,
    averages: Averages | None = None,
    own_shares: int = 0,
    xla: bool = False,
  ):
    super().__init__(eval_dataset=None)
    self._task = task
    self._model = model
    self.inputs = inputs
    self._strategy = strategy
    self._ledger = ledger
    self._boundary = boundary
    self._averages = averages
    self.table: dict[str, Any] = {}  # Of the newest evaluation.
    self._own_shares = own_shares
    self._forward = self._outputs_and_losses
    if xla:
      self._forward = tf.function(plain(self._forward), jit_compile=True)
    self._outputs = share(self._outputs_of) if own_shares else self._outputs_of
    self.programs = Programs(self._program, ledger)

  def evaluate(self, num_steps: tf.Tensor) -> dict[str, Any]:
    """Returns loss, examples_seen and the task's metrics of the whole split.

    Args:
      num_steps: must be -1: a part of a split has no exact metrics.
    """
    assert int(num_steps) == -1
    averages = self._averages
    place = averages.in_place() if averages else contextlib.nullcontext()
    with self._ledger.time("evaluation"), place:
      self.table = self.predictions()
      return self._metrics(self.table)

  def metrics_of_a_batch(self) -> dict[str, Any]:
    """Returns what `evaluate` does, of the first batch: which metrics exist.

    What it compiles, `evaluate` uses again.
    """
    rows = self._of_all_workers([self._give(0)])
    return self._metrics(in_order(rows, len(self.inputs.order.indices(0))))

  def _metrics(self, table: Mapping[str, Any]) -> dict[str, Any]:
    weights = table[WEIGHTS].astype(np.float64)
    check_losses(table["losses"], weights)
    found = {
      "loss": float(np.sum(weights * table["losses"]) / np.sum(weights)),
      "examples_seen": len(weights),
      **self._task.all_metrics(table[LABELS], table["outputs"]),
    }
    intervals = intervals_of(table, found)
    return {**found, OF_RECORD: self._task.goal[0], INTERVALS: intervals}

  @property
  def evaluators(self) -> list["Evaluator"]:
    """Itself: one split is evaluated."""
    return [self]

  def predictions(self) -> dict[str, Any]:
    """Returns labels, weights, losses and outputs, each [examples, ...].

    Raises:
      StopRequested: where a worker was told to stop.
    """
    batches: list[dict[str, Any]] = []
    look, begun = 0, time.monotonic()
    with dispatching(ahead=True):
      for step in range(self.inputs.order.num_batches):
        if self._boundary and step == look:
          spent = time.monotonic() - begun
          look += self._boundary.ask(spent / step if step else 0.0)
        given = self._give(step)
        batches[-1:] = [*map(_read, batches[-1:]), given]
      rows = self._of_all_workers(batches)
    return in_order(rows, len(self.inputs.source))

  def _of_all_workers(self, batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Joins the rows of batches, and of all workers: [rows, ...] each."""

    def joined(*parts):
      return gather_rows(self._strategy, np.concatenate(parts))

    return tf.nest.map_structure(joined, *batches[:-1], _read(batches[-1]))

  def _give(self, step: int) -> dict[str, Any]:
    """Has the rows of a batch computed, padding included."""
    batch, arrays = self.inputs.fetch(step)
    return self.programs(batch.layout.shape, arrays)

  def _program(self, shape: Shape):
    return plain(functools.partial(self.eval_step, shape=shape))

  def eval_step(self, iterator, shape: Shape) -> dict[str, Any]:
    """Implements one step; returns the rows of this worker's replicas.

    Args:
      iterator: the batch.
      shape: of the batch.
    """

    def replica_step(batch):
      return self.replica_step(self.inputs.pick(batch, shape))

    rows = self._strategy.run(replica_step, args=(iterator,))
    return tf.nest.map_structure(
      lambda x: tf.concat(self._strategy.experimental_local_results(x), 0),
      rows,
    )

  def replica_step(self, batch: dict[str, tf.Tensor]) -> dict[str, Any]:
    """Labels, weights, examples, losses and outputs of a replica's rows."""
    batch, _ = columns(batch, (TOTAL,))
    if not self._own_shares:
      return self._outputs(batch)
    parts = in_parts(batch, self._own_shares)
    found = each(
      lambda i: self._outputs({name: x[i] for name, x in parts.items()}),
      self._own_shares,
    )
    return tf.nest.map_structure(lambda *x: tf.concat(x, 0), *found)

  def _outputs_of(self, batch: dict[str, tf.Tensor]) -> dict[str, Any]:
    features, labels, weights, examples = columns(
      batch, (LABELS, WEIGHTS, EXAMPLES)
    )
    # What is passed through is no part of what XLA compiles: a GPU would send
    # back what the host has given.
    outputs, losses = self._forward(features, labels)
    passed = {LABELS: labels, WEIGHTS: weights, EXAMPLES: examples}
    return {**passed, "losses": losses, "outputs": outputs}

  def _outputs_and_losses(self, features, labels):
    outputs = self._task.forward(self._model, features, None)
    return outputs, self._task.loss(labels, outputs)


class SplitsEvaluator(orbit.AbstractEvaluator):
  """Evaluates one model on several splits."""

  def __init__(self, evaluators: Mapping[str, Evaluator]):
    """Initializes the evaluator.

    Args:
      evaluators: name of a split -> what evaluates it; the first one's metrics
        are those of the run, the others' have `split/` before their names.
    """
    self._evaluators = dict(evaluators)

  @property
  def evaluators(self) -> list[Evaluator]:
    """What evaluates the splits, in their order."""
    return list(self._evaluators.values())

  def evaluate(self, num_steps: tf.Tensor) -> dict[str, Any]:
    """Returns the metrics of all splits."""
    return self._joined(lambda evaluator: evaluator.evaluate(num_steps))

  def metrics_of_a_batch(self) -> dict[str, Any]:
    """As `Evaluator.metrics_of_a_batch`, of all splits."""
    return self._joined(lambda evaluator: evaluator.metrics_of_a_batch())

  def _joined(
    self, metrics_of: Callable[[Evaluator], Mapping[str, Any]]
  ) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for split, evaluator in self._evaluators.items():
      before = f"{split}/" if found else ""
      metrics = metrics_of(evaluator)
      found |= {f"{before}{name}": value for name, value in metrics.items()}
    return found


def build_evaluator(
  *,
  task: Task,
  model: tf_keras.Model,
  source: Source,
  strategy: tf.distribute.Strategy,
  batch_size: int,
  ledger: Ledger,
  boundary: Boundary | None = None,
  averages: Averages | None = None,
  program: float = 0.0,
  own_shares: int = 0,
  xla: bool = False,
) -> Evaluator:
  """Builds an evaluator of a source in its own order, each example once.

  Averages of the weights are evaluated, where there are some. A `program` costs
  what `Inputs` says: it and a forward pass are cheaper than those of training,
  by about as much. With `own_shares` each replica computes that many canonical
  shares, and outputs have the same bits on any number of replicas. With `xla`
  it is one program of a replica.
  """
  order = Order(
    num_examples=len(source),
    batch_size=batch_size,
    num_positions=len(source),
    seed=None,
  )
  inputs = Inputs(
    source=source,
    order=order,
    strategy=strategy,
    batch_size=batch_size,
    program=program,
    parts=own_shares or 1,
    canonical=own_shares > 0,
  )
  return Evaluator(
    task=task,
    model=model,
    inputs=inputs,
    strategy=strategy,
    ledger=ledger,
    boundary=boundary,
    averages=averages,
    own_shares=own_shares,
    xla=xla,
  )


def _read(batch: dict[str, Any]) -> dict[str, Any]:
  """Returns what a batch has of each of its places for an example."""
  places = len(batch[EXAMPLES].shape)
  return tf.nest.map_structure(
    lambda x: np.reshape(x, (-1, *x.shape[places:])), batch
  )


def in_order(rows: dict[str, Any], size: int) -> dict[str, Any]:
  """Puts gathered rows into the order of the split, without padding.

  Raises:
    AssertionError: unless each of the `size` examples is there exactly once.
  """
  examples = rows[EXAMPLES]
  real = examples >= 0
  place = np.argsort(examples[real], kind="stable")
  assert np.array_equal(examples[real][place], np.arange(size))
  return tf.nest.map_structure(lambda x: x[real][place], rows)

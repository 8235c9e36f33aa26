"""What a run will do, from its config and the lengths of its examples alone.

No batch is built and no step is run: the order and the layouts, both functions
of the step, say it all.
"""

import collections
import dataclasses
import math

import tf_keras

from engine.config import ExperimentConfig
from engine.loop.epochs import epoch_ends, evaluation_steps
from engine.loop.inputs import Inputs
from engine.step.optimization import build_schedule, warmup_steps

_MOST = 5000  # Batches that are laid out for a plan.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batches:
  """The batches of one split.

  Attributes:
    examples: in the split.
    steps: batches, over all epochs.
    batch_size: examples of a full batch, over all replicas.
    replica_batch_size: a replica's share of them.
    last_batch: examples of the last batch.
    looked_at: batches that were laid out: all; or some, evenly over the run,
      where that would take minutes.
    shapes: (declared shape, in how many of these), the largest first; each is
      compiled once.
    padding: share of the capacity that holds nothing real.
  """

  examples: int
  steps: int
  batch_size: int
  replica_batch_size: int
  last_batch: int
  looked_at: int
  shapes: tuple[tuple[tuple[int, ...], int], ...]
  padding: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """A run before it runs.

  Attributes:
    replicas: over which each batch is spread.
    train: the batches of training.
    evaluation: those of one evaluation.
    epoch_ends: steps at which epochs end; the last one ends the run.
    evaluates_at: steps after which the run evaluates.
    learning_rates: step -> rate with which that step updates: the first, the
      end of the warm-up, the first of each epoch, the last.
    parameters: trainable numbers of the model.
    checkpoint_bytes: model, slots of the optimizer and counters.
    checkpoints_kept: how many lie on the disk at once, at most.
  """

  replicas: int
  train: Batches
  evaluation: Batches
  epoch_ends: list[int]
  evaluates_at: list[int]
  learning_rates: dict[int, float]
  parameters: int
  checkpoint_bytes: int
  checkpoints_kept: int


def plan_batches(inputs: Inputs, *, batch_size: int, replicas: int) -> Batches:
  """Plans the batches of one split."""
  shapes: collections.Counter[tuple[int, ...]] = collections.Counter()
  units = capacity = 0
  count = inputs.order.num_batches
  looked_at = min(count, _MOST)
  for i in range(looked_at):
    step = i * (count - 1) // max(1, looked_at - 1)
    layout = inputs.layout(step)
    last = len(inputs.order.indices(step))
    shapes[layout.shape] += 1
    units += layout.units
    capacity += layout.capacity
  return Batches(
    examples=len(inputs.source),
    steps=count,
    batch_size=batch_size,
    replica_batch_size=batch_size // replicas,
    last_batch=last,
    looked_at=looked_at,
    shapes=tuple(
      sorted(shapes.items(), key=lambda item: (-math.prod(item[0]), item[0]))
    ),
    padding=1 - units / capacity,
  )


def make_plan(
  *,
  config: ExperimentConfig,
  replicas: int,
  model: tf_keras.Model,
  optimizer: tf_keras.optimizers.Optimizer,
  train: Inputs,
  evaluation: Inputs,
) -> Plan:
  """Plans a run.

  Args:
    config: of the run.
    replicas: over which each batch is spread.
    model: with all of its variables.
    optimizer: with all of its slots.
    train: the batches of training.
    evaluation: those of one evaluation.
  """
  ends = epoch_ends(config.train, len(train.source))
  schedule = build_schedule(config.optimizer, train_steps=ends[-1])
  peak = warmup_steps(config.optimizer, train_steps=ends[-1])
  saved = {id(v): v for v in (*model.variables, *optimizer.variables)}
  return Plan(
    replicas=replicas,
    train=plan_batches(
      train, batch_size=config.train.global_batch_size, replicas=replicas
    ),
    evaluation=plan_batches(
      evaluation,
      batch_size=config.evaluation.eval_batch_size,
      replicas=replicas,
    ),
    epoch_ends=ends,
    evaluates_at=evaluation_steps(config, len(train.source)),
    learning_rates={
      step: float(schedule(step))
      for step in sorted({0, peak, *ends[:-1], ends[-1] - 1})
    },
    parameters=sum(math.prod(v.shape) for v in model.trainable_variables),
    checkpoint_bytes=sum(
      math.prod(v.shape) * v.dtype.size for v in saved.values()
    ),
    checkpoints_kept=config.checkpoint.max_to_keep,
  )

"""How long a run is, where its epochs end, and where it evaluates."""

import math

from engine.config import ExperimentConfig, TrainConfig
from engine.settings import check

_MOST = 2_000_000  # Epochs, or evaluations.


def positions(train: TrainConfig, num_examples: int) -> int:
  """Returns how many examples the run goes through."""
  if train.train_steps:
    return train.train_steps * train.global_batch_size
  return max(1, round(train.epochs * num_examples))


def epoch_ends(train: TrainConfig, num_examples: int) -> list[int]:
  """Returns the steps at which epochs end, the last step included.

  Raises:
    UserError: where there are more of them than anybody can wait for.
  """
  size = train.global_batch_size
  total = -(-positions(train, num_examples) // size)
  check(
    total * size // num_examples <= _MOST,
    "train_steps",
    train.train_steps,
    f"at most {_MOST:,} epochs of the {num_examples:,} examples",
  )
  epochs = range(1, total * size // num_examples + 1)
  ends = {math.ceil(epoch * num_examples / size) for epoch in epochs}
  return sorted({end for end in ends if end < total} | {total})


def evaluation_steps(config: ExperimentConfig, num_examples: int) -> list[int]:
  """Returns the steps behind which a run evaluates, the last step included.

  Raises:
    UserError: where there are more of them than anybody can wait for.
  """
  ends = epoch_ends(config.train, num_examples)
  interval = config.evaluation.eval_interval
  if not interval:
    return ends
  check(
    ends[-1] // interval <= _MOST,
    "eval_interval",
    interval,
    f"at least {ends[-1] // _MOST + 1}, for {ends[-1]:,} steps",
  )
  return [*range(interval, ends[-1], interval), ends[-1]]

"""What each contender is asked to do, and how it answers."""

import dataclasses
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

BATCH_SIZE = 32
LEARNING_RATE = 1e-4
WARM_UP_SHARE = 0.1  # Of the steps, for the learning rate.
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
DROPOUT = 0.1
WIDTH = 128  # Tokens that a pair may have, and a padded row has.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """A run of a contender.

  Attributes:
    setting: which of its settings.
    task: data set.
    data_dir: where the data is.
    encoder: as `launch.train` names it; one with weights.
    steps: to train.
    steps_per_window: steps that are timed together.
    seed: of order and dropout.
    evaluate: whether to end with the accuracy on the dev split.
  """

  setting: str
  task: str
  data_dir: str
  encoder: str
  steps: int
  steps_per_window: int
  seed: int
  evaluate: bool

  @property
  def warm_up_steps(self) -> int:
    """Steps in which the learning rate rises."""
    return int(WARM_UP_SHARE * self.steps)


class Clock:
  """Ends of windows: how long each took, in seconds."""

  def __init__(self, steps: int):
    """Begins the first window, of `steps` steps."""
    self._steps = steps
    self._done = 0
    self._since = time.perf_counter()
    self.windows: list[float] = []

  def step(self) -> None:
    """Ends a step."""
    self._done += 1
    if self._done % self._steps == 0:
      self.window()

  def window(self) -> None:
    """Ends a window."""
    now = time.perf_counter()
    self.windows.append(now - self._since)
    self._since = now


def padded(encoded: Any) -> dict[str, np.ndarray]:
  """Pairs in rows of `WIDTH`: ids, mask and types, int32 [pairs, WIDTH]."""
  arrays = {
    name: np.zeros([len(encoded), WIDTH], np.int32)
    for name in ("ids", "mask", "types")
  }
  for i, length in enumerate(encoded.lengths):
    start = encoded.starts[i]
    arrays["ids"][i, :length] = encoded.ids[start : start + length]
    arrays["mask"][i, :length] = 1
    arrays["types"][i, encoded.first[i] : length] = 1
  return arrays


def read(plan: Plan, split: str) -> tuple[Any, np.ndarray]:
  """Reads a split: its `EncodedPairs`, and labels int32 [pairs]."""
  from tasks.config import SentencePairConfig
  from tasks.data.datasets import answers_of, read_split
  from tasks.encoders import find as encoders
  from tasks.tokens.tokenizer import PairTokenizer

  config = SentencePairConfig(name=plan.task, data_dir=plan.data_dir)
  pairs = read_split(config, split, answers_of(config))
  tokenizer = PairTokenizer(encoders.find(plan.encoder).tokenizer)
  encoded = tokenizer.encode(pairs.texts_a, pairs.texts_b, WIDTH)
  return encoded, np.array(pairs.labels, np.int32)


def answer(run: Callable[[Plan], tuple[Sequence[float], float | None]]) -> None:
  """Runs a contender: `python -m benchmarks.contenders.X PLAN.json OUT.json`.

  Args:
    run: a plan -> seconds of each window, and the accuracy or None.
  """
  with open(sys.argv[1]) as file:
    plan = Plan(**json.load(file))
  windows, accuracy = run(plan)
  # A contender may train in a process of its own.
  peak = max(
    resource.getrusage(who).ru_maxrss * 1024
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  )
  with open(sys.argv[2], "w") as file:
    json.dump(
      {
        "windows": list(windows),
        "accuracy": accuracy,
        "peak_memory_bytes": peak,
      },
      file,
    )

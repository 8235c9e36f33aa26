"""What each contender is asked to do, and how it answers."""

import dataclasses
import json
import resource
import sys
import time
from collections.abc import Callable

BATCH_SIZE = 32
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
    source: Hugging Face's directory of the encoder.
    learning_rate: the highest.
    splits: directory with the splits, as `given.write_splits` writes them.
    steps: to train.
    steps_per_window: steps that are timed together.
    seed: of order and dropout.
    evaluations: of the dev split, one after each such part of the steps.
    begun: when the command began, by `time.monotonic` of this machine.
  """

  setting: str
  task: str
  data_dir: str
  encoder: str
  source: str
  learning_rate: float
  splits: str
  steps: int
  steps_per_window: int
  seed: int
  evaluations: int
  begun: float = 0.0

  @property
  def warm_up_steps(self) -> int:
    """Steps in which the learning rate rises."""
    return int(WARM_UP_SHARE * self.steps)

  @property
  def steps_per_evaluation(self) -> int:
    """Steps between two evaluations, which divide all steps."""
    return self.steps // max(1, self.evaluations)


@dataclasses.dataclass(frozen=True)
class Run:
  """What a contender has done.

  Attributes:
    windows: seconds of each window.
    accuracy: on the dev split after the last step, if it was evaluated.
    seconds: of the command; None: from its start to the end of `run`.
    right: whether each of its pairs is, where the contender tells.
  """

  windows: list[float]
  accuracy: float | None
  seconds: float | None = None
  right: list[bool] | None = None


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


def answer(run: Callable[[Plan], Run]) -> None:
  """Runs a contender: `python -m benchmarks.contenders.X PLAN.json OUT.json`.

  Args:
    run: does what a plan asks.
  """
  with open(sys.argv[1]) as file:
    plan = Plan(**json.load(file))
  found = run(plan)
  seconds = found.seconds or time.monotonic() - plan.begun
  # A contender may train in a process of its own.
  peak = max(
    resource.getrusage(who).ru_maxrss * 1024
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  )
  with open(sys.argv[2], "w") as file:
    json.dump(
      {
        "windows": found.windows,
        "accuracy": found.accuracy,
        "right": found.right,
        "seconds": seconds,
        "peak_memory_bytes": peak,
      },
      file,
    )

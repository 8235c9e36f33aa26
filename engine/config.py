"""The settings of a run, but for those of its task. Standard library only."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

from engine.settings import (
  RARE,
  SHOWN,
  Flag,
  Settings,
  check,
  check_no_pattern,
  check_splits,
  fields_of,
  free,
  setting,
)

LONGEST = 1_000_000  # Seconds: what the system can wait for, and nobody does.
_LARGEST = (2 - 2**-23) * 2.0**127  # Of float32, in which weights are.


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuntimeConfig(Settings):
  """Where and how a run is computed."""

  strategy: Literal["auto", "one_device", "mirrored", "multi_worker", "tpu"] = (
    free("auto", "Where the replicas are.", SHOWN)
  )
  num_virtual_devices: int = free(
    0,
    "Split the CPU into this many logical devices (0: do not).",
    SHOWN,
    min=0,
    max=1024,
  )
  worker_hosts: str = free(
    "", "host:port of each worker, where no launcher says so.", RARE
  )
  worker_index: int = free(0, "This process in worker_hosts.", RARE)
  startup_timeout: float = free(
    300.0,
    "Seconds that start-up waits for other workers.",
    RARE,
    above=0,
    max=LONGEST,
  )
  tpu: str = free("", "TPU to train on: local, a name or an address.", SHOWN)
  deterministic: bool = free(
    False, "The same bits in each run, where ops leave a choice.", RARE
  )
  reproducible: bool = setting(
    False,
    "The same bits on any number of replicas and workers.",
    RARE,
  )
  canonical_shares: int = setting(
    8,
    "Parts of a batch whose sums a reproducible run adds in one tree.",
    RARE,
    min=1,
    max=1024,
  )
  xla: bool | None = free(
    None, "Compile steps with XLA; where nothing is said, GPUs do.", RARE
  )
  memory_growth: bool = free(
    True, "Take the memory of GPUs as it is needed, not all at once.", RARE
  )
  communication: Literal["auto", "nccl", "ring"] = free(
    "auto", "How workers add up: auto takes NCCL between GPUs.", RARE
  )
  pack_megabytes: int = free(
    32,
    "Gradients in one all-reduce between GPUs (0: all of them).",
    RARE,
    min=0,
    max=2000,
  )
  shapes: Literal["auto", "cpu", "gpu", "tpu", "fixed"] = free(
    "auto", "As many shapes as pay where: auto asks the devices.", RARE
  )
  steps_per_loop: int = free(
    5,
    "Most steps between two looks at the notices, of all workers.",
    RARE,
    min=1,
    max=10_000,
  )
  log_interval: int = free(
    0, "Steps between log points (0: steps_per_loop).", RARE, min=0
  )
  log_example_ids: bool = free(
    False, "Write the ids of each global batch.", RARE
  )
  log_weights_digest: bool = free(
    False, "Write a digest of the weights at each log point.", RARE
  )
  check_resume: bool = free(
    False, "Stop where weights differ from those that were logged.", RARE
  )
  threads: int = free(
    0,
    "Threads of an op (0: the cores; a deterministic run keeps its first).",
    RARE,
    min=0,
    max=4096,
  )
  grace_seconds: float = free(
    30.0,
    "Seconds from a notice to stop until the end, saving included.",
    RARE,
    above=0,
    max=LONGEST,
  )
  stop_file: str = free(
    "",
    "A file whose appearance stops the run (MODEL_DIR/stop always does).",
    RARE,
  )
  compile_cache: str = free(
    "", "Directory that keeps what XLA compiles for the next start.", RARE
  )
  profile_steps: str = free(
    "", "Steps to profile for TensorBoard, as 100-110.", RARE
  )
  quiet: bool = free(False, "Print the final result only.", SHOWN)

  def __post_init__(self):
    super().__post_init__()
    match = re.fullmatch(
      r"([0-9]{1,9})-([0-9]{1,9})", self.profile_steps or "0-1"
    )
    check(
      match is not None and int(match[1]) < int(match[2]),
      "profile_steps",
      self.profile_steps,
      "the first step and the one behind the last, as 100-110",
    )
    check(
      self.log_weights_digest or not self.check_resume,
      "check_resume",
      self.check_resume,
      "false, or with --log_weights_digest",
    )
    shares = self.canonical_shares
    check(
      shares & (shares - 1) == 0,
      "canonical_shares",
      shares,
      "a power of two: a tree of halves adds them",
    )

  @property
  def fixes_bits(self) -> bool:
    """Whether the same command must give the same bits."""
    return self.deterministic or self.reproducible

  @property
  def profiled(self) -> tuple[int, ...]:
    """First step to profile, and the one behind the last; or nothing."""
    return tuple(int(x) for x in self.profile_steps.split("-") if x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Settings):
  """How gradients change the weights."""

  type: Literal["adamw", "lamb"] = setting(
    "adamw", "Optimizer; LAMB is for large batches."
  )
  learning_rate: float = setting(
    5e-5, "Learning rate before decay; see decay_start.", SHOWN, min=0, max=1000
  )
  schedule: Literal["polynomial", "linear", "cosine", "constant"] = setting(
    "polynomial", "How the learning rate decays behind the warm-up."
  )
  decay_start: Literal["first_step", "warmup"] = setting(
    "first_step",
    "Where decay begins: as in the tutorial, so that the warm-up ends below "
    "learning_rate; or behind the warm-up, which then reaches it.",
  )
  warmup_ratio: float = setting(
    0.1, "Share of the steps that warm up.", RARE, min=0, below=1
  )
  warmup_steps: int = setting(
    0, "Steps that warm up, instead of a share.", min=0
  )
  end_learning_rate: float = setting(
    0.0, "Learning rate at the last step.", min=0, max=1000
  )
  decay_power: float = setting(
    1.0, "Power of the polynomial (1: linear).", min=0
  )
  weight_decay: float = setting(
    0.01,
    "Decoupled weight decay, not for biases and layer norms.",
    RARE,
    min=0,
    max=1000,
  )
  layer_decay: float = setting(
    1.0,
    "Factor of the learning rate from each layer to the one below.",
    above=0,
    max=1,
  )
  clip_norm: float = setting(
    1.0, "Largest global norm of the gradient (0: no limit).", RARE, min=0
  )
  beta_1: float = setting(0.9, "Decay of the first moment.", min=0, below=1)
  beta_2: float = setting(0.999, "Decay of the second moment.", min=0, below=1)
  epsilon: float = setting(
    1e-6, "Added to the root of the second moment.", min=0
  )
  average_decay: float = setting(
    0.0,
    "Of a moving average of the weights, which is then evaluated (0: off).",
    min=0,
    below=1,
  )

  def __post_init__(self):
    super().__post_init__()
    for name, _, value in fields_of(self):
      if isinstance(value, float):
        check(value <= _LARGEST, name, value, "finite in float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
  """How long, on which batches, in which precision."""

  seed: int = setting(0, "Seed of order, dropout and new weights.", SHOWN)
  epochs: float = setting(
    3.0, "Passes over the training split.", SHOWN, above=0, max=1_000_000
  )
  train_steps: int = setting(
    0, "Steps to train, instead of epochs (0: off).", SHOWN, min=0
  )
  global_batch_size: int = setting(
    32, "Examples in a step, all replicas.", SHOWN, min=1, max=2**20
  )
  accumulate_steps: int = free(
    1,
    "Parts in which each replica computes its share of a batch.",
    RARE,
    min=1,
    max=2**20,
  )
  precision: Literal["float32", "bfloat16", "float16"] = setting(
    "float32", "Of products; variables stay float32.", SHOWN
  )
  init_from: str = setting(
    "", "Run whose weights this one begins with, as far as they serve.", RARE
  )
  on_nonfinite: Literal["stop", "skip"] = setting(
    "stop",
    "At a loss or gradient that is not finite: stop, or skip the batch.",
    RARE,
  )

  def __post_init__(self):
    super().__post_init__()
    check(0 <= self.seed < 2**31, "seed", self.seed, "from 0 to 2**31 - 1")
    check_no_pattern("init_from", self.init_from)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Settings):
  """What is evaluated during and after training."""

  eval_batch_size: int = free(
    32,
    "Examples in an evaluation step, all replicas.",
    RARE,
    min=1,
    max=2**20,
  )
  eval_interval: int = setting(
    0,
    "Steps between evaluations; the last is at the end (0: ends of epochs).",
    RARE,
    min=0,
  )
  patience: int = setting(
    0,
    "Evaluations without a better one after which training ends (0: off).",
    RARE,
    min=0,
  )
  split: str = free(
    "dev",
    "Splits to evaluate; the first says what is best.",
    Flag(name="eval_split", rare=True),
  )
  timeout: float = free(
    600.0, "Seconds that continuous_eval waits for a new checkpoint.", min=0
  )

  def __post_init__(self):
    super().__post_init__()
    check_splits("eval_split", self.splits)
    check(
      len(set(self.splits)) == len(self.splits),
      "eval_split",
      self.split,
      "names that are each given once",
    )

  @property
  def splits(self) -> tuple[str, ...]:
    """The names of the splits."""
    return tuple(self.split.split(","))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointConfig(Settings):
  """When checkpoints are written and which are kept."""

  checkpoint_interval: int = free(
    0, "Steps between checkpoints (0: the ends of epochs).", SHOWN, min=0
  )
  checkpoint_minutes: float = free(
    10.0,
    "Minutes after which a checkpoint is due, however long an epoch (0: off).",
    RARE,
    min=0,
  )
  max_to_keep: int = free(3, "Newest checkpoints to keep.", RARE, min=1)
  keep_every_n_hours: float = free(
    0.0, "Keep one checkpoint of each n hours for good (0: off).", RARE, min=0
  )
  best_to_keep: int = free(
    1, "Weights of the best evaluations to keep (0: none).", RARE, min=0
  )
  best_metric: str = free(
    "", "Metric that says which is best (empty: the task's own).", RARE
  )
  best_direction: Literal["auto", "max", "min"] = free(
    "auto", "Whether more or less of it is better."
  )
  async_checkpoint: bool = free(
    True, "Write checkpoints while training goes on.", RARE
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig(Settings):
  """What is learned. A task adds settings of its own, each with a default."""

  name: str = setting("", "A named data set, or module:Class of a task.")

  def recipe(self) -> Mapping[str, Any]:
    """Settings beside the task's that suit it; the user's come before them."""
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig(Settings):
  """All of a run; `task` is the config dataclass of the task."""

  runtime: RuntimeConfig = RuntimeConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  train: TrainConfig = TrainConfig()
  evaluation: EvaluationConfig = EvaluationConfig()
  checkpoint: CheckpointConfig = CheckpointConfig()
  task: TaskConfig = TaskConfig()

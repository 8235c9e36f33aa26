"""Configuration of a run: frozen dataclasses, validated, standard library only.

Each field carries its one sentence of help, which doors show. A field marked
`free` says where or how a run is computed, not what is learned: it may differ
when a run is resumed. All other fields identify the run.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

from engine.errors import UserError


def setting(default: Any, help_text: str, *, free: bool = False) -> Any:
  """A dataclass field with its sentence of help."""
  return dataclasses.field(
    default=default, metadata={"help": help_text, "free": free}
  )


def check(condition: bool, name: str, value: Any, rule: str) -> None:
  """Raises `UserError` where the setting `name` breaks its `rule`."""
  if not condition:
    raise UserError(f"`{name}` is {value!r}, but must be {rule}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
  """Where and how a run is computed."""

  strategy: Literal["auto", "one_device", "mirrored", "multi_worker", "tpu"] = (
    setting("auto", "Where the replicas are.", free=True)
  )
  num_virtual_devices: int = setting(
    0,
    "Split the CPU into this many logical devices (0: do not).",
    free=True,
  )
  worker_hosts: str = setting(
    "", "host:port of each worker, where no launcher says so.", free=True
  )
  worker_index: int = setting(0, "This process in worker_hosts.", free=True)
  startup_timeout: float = setting(
    300.0, "Seconds that start-up waits for other workers.", free=True
  )
  tpu: str = setting(
    "", "TPU to train on: local, a name or an address.", free=True
  )
  deterministic: bool = setting(
    False, "The same bits in each run, where ops leave a choice.", free=True
  )
  xla: bool = setting(False, "Compile the model with XLA.", free=True)
  steps_per_loop: int = setting(
    5, "Steps in one device loop, between two looks at the host.", free=True
  )
  log_example_ids: bool = setting(
    False, "Write the ids of each global batch.", free=True
  )
  threads: int = setting(
    0,
    "Threads of an op (0: the cores; a deterministic run keeps its first).",
    free=True,
  )
  grace_seconds: float = setting(
    30.0,
    "Seconds from a notice to stop until the end, saving included.",
    free=True,
  )
  stop_file: str = setting(
    "",
    "A file whose appearance stops the run (MODEL_DIR/stop always does).",
    free=True,
  )
  profile_steps: str = setting(
    "", "Steps to profile for TensorBoard, as 100-110.", free=True
  )
  quiet: bool = setting(False, "Print the final result only.", free=True)

  def __post_init__(self):
    check(
      self.num_virtual_devices >= 0,
      "num_virtual_devices",
      self.num_virtual_devices,
      "0 or more",
    )
    check(
      self.startup_timeout > 0,
      "startup_timeout",
      self.startup_timeout,
      "above 0",
    )
    check(
      0 < self.grace_seconds < float("inf"),
      "grace_seconds",
      self.grace_seconds,
      "above 0 and finite",
    )
    check(self.threads >= 0, "threads", self.threads, "0 or more")
    match = re.fullmatch(r"(\d+)-(\d+)", self.profile_steps or "0-1")
    check(
      bool(match) and int(match[1]) < int(match[2]),
      "profile_steps",
      self.profile_steps,
      "the first step and the one behind the last, as 100-110",
    )
    check(
      self.steps_per_loop > 0,
      "steps_per_loop",
      self.steps_per_loop,
      "1 or more",
    )

  @property
  def profiled(self) -> tuple[int, ...]:
    """First step to profile, and the one behind the last; or nothing."""
    return tuple(int(x) for x in self.profile_steps.split("-") if x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
  """How gradients change the weights."""

  type: Literal["adamw", "lamb"] = setting(
    "adamw", "Optimizer; LAMB is for large batches."
  )
  learning_rate: float = setting(5e-5, "Peak of the learning rate.")
  schedule: Literal["polynomial", "linear", "cosine", "constant"] = setting(
    "polynomial", "How the learning rate decays behind the warm-up."
  )
  warmup_ratio: float = setting(0.1, "Share of the steps that warm up.")
  warmup_steps: int = setting(0, "Steps that warm up, instead of a share.")
  end_learning_rate: float = setting(0.0, "Learning rate at the last step.")
  decay_power: float = setting(1.0, "Power of the polynomial (1: linear).")
  weight_decay: float = setting(
    0.01, "Decoupled weight decay, not for biases and layer norms."
  )
  layer_decay: float = setting(
    1.0, "Factor of the learning rate from each layer to the one below."
  )
  clip_norm: float = setting(
    1.0, "Largest global norm of the gradient (0: no limit)."
  )
  beta_1: float = setting(0.9, "Decay of the first moment.")
  beta_2: float = setting(0.999, "Decay of the second moment.")
  epsilon: float = setting(1e-6, "Added to the root of the second moment.")
  average_decay: float = setting(
    0.0, "Of a moving average of the weights, which is then evaluated (0: off)."
  )

  def __post_init__(self):
    for name in (
      "learning_rate",
      "end_learning_rate",
      "weight_decay",
      "warmup_steps",
      "decay_power",
    ):
      value = getattr(self, name)
      check(value >= 0, name, value, "0 or more")
    check(
      0 <= self.warmup_ratio < 1,
      "warmup_ratio",
      self.warmup_ratio,
      "at least 0 and below 1",
    )
    check(
      0 < self.layer_decay <= 1,
      "layer_decay",
      self.layer_decay,
      "above 0 and at most 1",
    )
    check(self.clip_norm >= 0, "clip_norm", self.clip_norm, "0 or more")
    for name in ("average_decay", "beta_1", "beta_2"):
      value = getattr(self, name)
      check(0 <= value < 1, name, value, "at least 0 and below 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
  """How long, on which batches, in which precision."""

  seed: int = setting(0, "Seed of order, dropout and new weights.")
  epochs: float = setting(3.0, "Passes over the training split.")
  train_steps: int = setting(0, "Steps to train, instead of epochs (0: off).")
  global_batch_size: int = setting(32, "Examples in a step, all replicas.")
  accumulate_steps: int = setting(
    1, "Parts in which each replica computes its share of a batch.", free=True
  )
  precision: Literal["float32", "bfloat16", "float16"] = setting(
    "float32", "Of products; variables stay float32."
  )
  on_nonfinite: Literal["stop", "skip"] = setting(
    "stop", "At a loss or gradient that is not finite: stop, or skip the batch."
  )

  def __post_init__(self):
    check(0 <= self.seed < 2**31, "seed", self.seed, "from 0 to 2**31 - 1")
    check(
      0 < self.epochs < float("inf"),
      "epochs",
      self.epochs,
      "above 0 and finite",
    )
    check(self.train_steps >= 0, "train_steps", self.train_steps, "0 or more")
    check(
      self.global_batch_size > 0,
      "global_batch_size",
      self.global_batch_size,
      "1 or more",
    )
    check(
      self.accumulate_steps > 0,
      "accumulate_steps",
      self.accumulate_steps,
      "1 or more",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
  """What is evaluated during and after training."""

  eval_batch_size: int = setting(
    32, "Examples in an evaluation step, all replicas.", free=True
  )
  patience: int = setting(
    0, "Evaluations without a better one after which training ends (0: off)."
  )
  split: str = setting(
    "dev",
    "Splits to evaluate after each epoch; the first says what is best.",
    free=True,
  )
  timeout: float = setting(
    600.0,
    "Seconds that continuous_eval waits for a new checkpoint.",
    free=True,
  )

  def __post_init__(self):
    check(
      self.eval_batch_size > 0,
      "eval_batch_size",
      self.eval_batch_size,
      "1 or more",
    )
    check(self.patience >= 0, "patience", self.patience, "0 or more")
    check(all(self.splits), "split", self.split, "names with commas between")

  @property
  def splits(self) -> tuple[str, ...]:
    """The names of the splits."""
    return tuple(self.split.split(","))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
  """When checkpoints are written and which are kept."""

  checkpoint_interval: int = setting(
    0, "Steps between checkpoints (0: the ends of epochs).", free=True
  )
  checkpoint_minutes: float = setting(
    0.0, "Minutes between checkpoints, beside the interval (0: off).", free=True
  )
  max_to_keep: int = setting(3, "Newest checkpoints to keep.", free=True)
  keep_every_n_hours: float = setting(
    0.0, "Keep one checkpoint of each n hours for good (0: off).", free=True
  )
  best_to_keep: int = setting(
    1, "Weights of the best evaluations to keep (0: none).", free=True
  )
  best_metric: str = setting(
    "", "Metric that says which is best (empty: the task's own).", free=True
  )
  best_direction: Literal["auto", "max", "min"] = setting(
    "auto", "Whether more or less of it is better.", free=True
  )
  async_checkpoint: bool = setting(
    True, "Write checkpoints while training goes on.", free=True
  )

  def __post_init__(self):
    for name in (
      "checkpoint_interval",
      "checkpoint_minutes",
      "keep_every_n_hours",
      "best_to_keep",
    ):
      value = getattr(self, name)
      check(value >= 0, name, value, "0 or more")
    check(self.max_to_keep > 0, "max_to_keep", self.max_to_keep, "1 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
  """What is learned. A task adds settings of its own, each with a default."""

  name: str = setting("", "A named data set, or module:Class of a task.")

  def recipe(self) -> Mapping[str, Any]:
    """Settings beside the task's that suit it; the user's come before them."""
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
  """All of a run; `task` is the config dataclass of the task."""

  runtime: RuntimeConfig = RuntimeConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  train: TrainConfig = TrainConfig()
  evaluation: EvaluationConfig = EvaluationConfig()
  checkpoint: CheckpointConfig = CheckpointConfig()
  task: TaskConfig = TaskConfig()

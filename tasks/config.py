"""The settings of the sentence-pair task; imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from engine.config import TaskConfig, check, setting

Batching = Literal["pad", "bucket", "pack"]

# Names of the data sets; `tasks.datasets` reads them.
DATASETS = ("demo", "mrpc")

# Before the name of a SavedModel that runs as the encoder.
RUNS_ITSELF = "hub:"

# What training with an encoder starts from where the user says nothing else.
RECIPES: Mapping[str, Mapping[str, Any]] = {
  "demo": {"optimizer": {"learning_rate": 1e-4}},
  "tiny": {"optimizer": {"learning_rate": 1e-3}},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentencePairConfig(TaskConfig):
  """What is learned: the data set, the encoder, how pairs are laid out."""

  name: str = setting("demo", f"Data set: {' or '.join(DATASETS)}.")
  data_dir: str = setting(
    "", "Directory of the data, for TFDS or pairs.tsv.", free=True
  )
  encoder: str = setting(
    "demo",
    "Encoder: demo, tiny, base, large, a directory, an address, hub:...",
  )
  max_seq_length: int = setting(128, "Tokens of a row; longer pairs are cut.")
  batching: Batching = setting(
    "pack", "Pairs in rows; only dropout's draws differ.", free=True
  )
  dropout: float = setting(0.1, "Dropout of the encoder and the head.")

  def __post_init__(self):
    check(
      self.name in DATASETS,
      "task",
      self.name,
      f"one of {DATASETS}, or module:Class of your own",
    )
    check(
      self.max_seq_length >= 8,
      "max_seq_length",
      self.max_seq_length,
      "8 or more",
    )
    check(
      0 <= self.dropout <= 0.9,
      "dropout",
      self.dropout,
      "at least 0 and at most 0.9",
    )

  def recipe(self) -> Mapping[str, Any]:
    """What training starts from where the user says nothing else."""
    if self.encoder.startswith(RUNS_ITSELF):
      return {"task": {"batching": "bucket"}}
    return RECIPES.get(self.encoder, {})

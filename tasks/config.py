"""The settings of the sentence-pair task; imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from engine.config import TaskConfig, check, setting

Batching = Literal["pad", "bucket", "pack"]

# Names of the data sets; `tasks.datasets` reads them.
DATASETS = ("demo", "mrpc")

# The name of a task whose pairs are in files.
FILES = "pairs"

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

  name: str = setting(
    "demo", f"Data set: {', '.join(DATASETS)}, or {FILES} with --train_file."
  )
  data_dir: str = setting(
    "", "Directory of the data, for TFDS or pairs.tsv.", free=True
  )
  train_file: str = setting(
    "", "Pairs: TSV, CSV, JSON lines or TFRecord; globs, commas.", free=True
  )
  eval_file: str = setting("", "Pairs to evaluate on.", free=True)
  test_file: str = setting("", "Pairs of --split=test.", free=True)
  text_a: str = setting("", "Column of the first sentence (empty: guess).")
  text_b: str = setting("", "Column of the second sentence (empty: guess).")
  label: str = setting("", "Column of the label (empty: guess).")
  classes: tuple[str, ...] = setting(
    (), "Names of the classes, in order (empty: found in train_file)."
  )
  quoting: Literal["auto", "on", "off"] = setting(
    "auto", "Quotes in TSV and CSV (auto: in CSV)."
  )
  skip_bad_lines: bool = setting(False, "Pass over bad lines, and count them.")
  on_damaged_shard: Literal["stop", "skip"] = setting(
    "stop", "At a damaged TFRecord file: stop, or pass over the whole file."
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
      self.name in (*DATASETS, FILES),
      "task",
      self.name,
      f"one of {(*DATASETS, FILES)}, or module:Class of your own",
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

"""The settings of the sentence-pair task; imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from engine.config import TaskConfig, check, setting
from tasks.named_sets import NAMED_SETS

Batching = Literal["pad", "bucket", "pack"]
Casing = Literal["auto", "lower", "keep"]

# The project's own corpus, and a task whose pairs are in files.
DEMO, FILES = "demo", "pairs"
NAMES = (DEMO, *NAMED_SETS)

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
    DEMO, f"A named set (demo, mrpc, ...), {FILES} (of files) or module:Class."
  )
  data_dir: str = setting(
    "", "Directory of the data: TFDS's, or official files.", free=True
  )
  train_file: str = setting(
    "", "Pairs: TSV, CSV, JSON lines or TFRecord; globs, commas.", free=True
  )
  eval_file: str = setting("", "Pairs to evaluate on.", free=True)
  test_file: str = setting("", "Pairs of the split test.", free=True)
  text_a: str = setting("auto", "Column of the first sentence.")
  text_b: str = setting("auto", "Column of the second sentence (empty: none).")
  label: str = setting("auto", "Column of the label.")
  weight: str = setting("", "Column of a weight for each training pair.")
  file_format: Literal["auto", "tsv", "csv", "jsonl"] = setting(
    "auto", "What files of text hold (auto: what their names say)."
  )
  quoting: Literal["auto", "on", "off"] = setting(
    "auto", "Quotes in TSV and CSV (auto: in CSV)."
  )
  columns: tuple[str, ...] = setting(
    (), "Names of all columns, where files have no header."
  )
  unlabelled: str = setting("", "Label of pairs that are to be left out.")
  skip_bad_lines: bool = setting(False, "Pass over bad lines, and count them.")
  on_damaged_shard: Literal["stop", "skip"] = setting(
    "stop", "At a damaged TFRecord file: stop, or pass over the whole file."
  )
  kind: Literal["auto", "classes", "regression"] = setting(
    "auto", "What labels are (auto: mostly classes)."
  )
  classes: tuple[str, ...] = setting(
    (), "Names of the classes, in order (empty: found in train_file)."
  )
  class_weights: tuple[str, ...] = setting(
    (), "Weight of each class in training, in order; or balanced."
  )
  label_smoothing: float = setting(0.0, "Share of labels spread over classes.")
  encoder: str = setting(
    "demo",
    "Encoder: demo, tiny, base, large, a directory, an address, hub:...",
  )
  casing: Casing = setting(
    "auto", "Case of texts: lower or keep it (auto: what the encoder says)."
  )
  max_seq_length: int = setting(128, "Tokens of a row; longer pairs are cut.")
  batching: Batching = setting(
    "pack", "Pairs in rows; only dropout's draws differ.", free=True
  )
  dropout: float = setting(0.1, "Dropout of the encoder and the head.")

  def __post_init__(self):
    check(
      self.name in (*NAMES, FILES),
      "task",
      self.name,
      f"one of {(*NAMES, FILES)}, or module:Class of your own",
    )
    check(
      self.max_seq_length >= 8,
      "max_seq_length",
      self.max_seq_length,
      "8 or more",
    )
    check(
      0 <= self.label_smoothing < 1,
      "label_smoothing",
      self.label_smoothing,
      "at least 0 and below 1",
    )
    check(
      self.class_weights in ((), ("balanced",))
      or all(map(_is_weight, self.class_weights)),
      "class_weights",
      ",".join(self.class_weights),
      "balanced, or a number above 0 for each class: 1,2.5",
    )
    check(
      0 <= self.dropout <= 0.9,
      "dropout",
      self.dropout,
      "at least 0 and at most 0.9",
    )

  def recipe(self) -> Mapping[str, Any]:
    """What training starts from where the user says nothing else."""
    recipe = dict(RECIPES.get(self.encoder, {}))
    if self.encoder.startswith(RUNS_ITSELF):
      recipe["task"] = {"batching": "bucket"}
    if self.name in NAMED_SETS:
      recipe["evaluation"] = {"split": NAMED_SETS[self.name].dev}
    return recipe


def _is_weight(text: str) -> bool:
  try:
    return 0 < float(text) < float("inf")
  except ValueError:
    return False

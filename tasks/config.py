"""The settings of the sentence-pair task; imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from engine.config import TaskConfig
from engine.errors import UserError, quoted
from engine.settings import RARE, SHOWN, Flag, check, free, setting
from tasks.label_text import fault_of_name
from tasks.named_sets import NAMED_SETS

Batching = Literal["pad", "bucket", "pack"]
Casing = Literal["auto", "lower", "keep"]

# The project's own corpus, and a task whose pairs are in files.
DEMO, FILES = "demo", "pairs"
NAMES = (DEMO, *NAMED_SETS)

# Before the name of a SavedModel that runs as the encoder.
RUNS_ITSELF = "hub:"

# Of the training files, where none are named to evaluate on.
HELD_OUT = 0.1

# What training with an encoder starts from where the user says nothing else.
RECIPES: Mapping[str, Mapping[str, Any]] = {
  "demo": {"optimizer": {"learning_rate": 1e-4}},
  "tiny": {"optimizer": {"learning_rate": 1e-3}},
  RUNS_ITSELF: {"task": {"batching": "bucket"}},  # One pair a row.
}


# Which pairs: doors that do not train take these settings too.
DATA = "data"
_DATA, _RARE_DATA = Flag(group=DATA), Flag(group=DATA, rare=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentencePairConfig(TaskConfig):
  """What is learned: the data set, the encoder, how pairs are laid out."""

  name: str = setting(
    DEMO,
    f"A named set (demo, mrpc, ...), {FILES} (of files) or module:Class.",
    Flag(name="task", group=DATA),
  )
  data_dir: str = free(
    "", "Directory of the data: TFDS's, or official files.", _DATA
  )
  train_file: str = free(
    "",
    "Pairs: TSV, CSV, JSON lines, TFRecord or a store; globs, commas.",
    Flag(aliases=("train_files",), group=DATA),
  )
  eval_file: str = free(
    "", "Pairs to evaluate on.", Flag(aliases=("eval_files",), group=DATA)
  )
  test_file: str = free("", "Pairs of the split test.", _RARE_DATA)
  text_a: str = setting("auto", "Column of the first sentence.", _DATA)
  text_b: str = setting(
    "auto", "Column of the second sentence (empty: none).", _DATA
  )
  label: str = setting("auto", "Column of the label.", _DATA)
  weight: str = setting(
    "", "Column of a weight for each training pair.", _RARE_DATA
  )
  file_format: Literal["auto", "tsv", "csv", "jsonl"] = setting(
    "auto", "What files of text hold (auto: what their names say).", _RARE_DATA
  )
  quoting: Literal["auto", "on", "off"] = setting(
    "auto", "Quotes in TSV and CSV (auto: in CSV).", _RARE_DATA
  )
  columns: tuple[str, ...] = setting(
    (), "Names of all columns, where files have no header.", _RARE_DATA
  )
  unlabelled: str = setting(
    "", "Label of pairs that are to be left out.", _RARE_DATA
  )
  skip_bad_lines: bool = setting(
    False, "Pass over bad lines, and count them.", _RARE_DATA
  )
  on_damaged_shard: Literal["stop", "skip"] = setting(
    "stop",
    "At a damaged TFRecord file: stop, or pass over the whole file.",
    RARE,
  )
  train_fraction: float = setting(
    1.0, "Part of the training split to train with.", above=0, max=1
  )
  eval_fraction: float = setting(
    0.0,
    "Part of train_file held out as dev; where there is no eval_file, 0.1.",
    _RARE_DATA,
    min=0,
    max=0.5,
  )
  drop_leaks: bool = setting(
    False,
    "Leave out training pairs that share a sentence with another split.",
    RARE,
  )
  kind: Literal["auto", "classes", "regression"] = setting(
    "auto", "What labels are (auto: mostly classes).", _DATA
  )
  classes: tuple[str, ...] = setting(
    (),
    "Names of the classes, in order (empty: found in train_file).",
    _RARE_DATA,
  )
  positive: str = free(
    "", "Class that F1 speaks of, of two (empty: the second).", RARE
  )
  class_weights: tuple[str, ...] = setting(
    (), "Weight of each class in training, in order; or balanced.", RARE
  )
  label_smoothing: float = setting(
    0.0, "Share of labels spread over classes.", RARE, min=0, below=1
  )
  encoder: str = setting(
    "demo",
    "Encoder: demo, mpnet, tiny, base, large, folder, address, hf:, hub:.",
    SHOWN,
  )
  freeze: str = setting(
    "", "Parts of the encoder that keep their weights: embeddings,0-5.", RARE
  )
  casing: Casing = setting(
    "auto",
    "Case of texts: lower or keep it (auto: what the encoder says).",
    RARE,
  )
  max_seq_length: int = setting(
    128, "Tokens of a pair; longer ones are cut.", RARE, min=8, max=2**16
  )
  batching: Batching = free(
    "pack", "Pairs in rows; only dropout's draws differ.", SHOWN
  )
  dropout: float = setting(
    0.1, "Dropout of the encoder and the head.", SHOWN, min=0, max=0.9
  )

  def __post_init__(self):
    super().__post_init__()
    check(
      self.name in (*NAMES, FILES),
      "task",
      self.name,
      f"one of {(*NAMES, FILES)}, or module:Class of your own",
    )
    check(
      not self.eval_fraction or (self.name == FILES and not self.eval_file),
      "eval_fraction",
      self.eval_fraction,
      f"0 beside an --eval_file, or with another task than {FILES}",
    )
    check(
      len(self.classes) != 1 and len({*self.classes}) == len(self.classes),
      "classes",
      ",".join(self.classes),
      "two or more, all different",
    )
    for name in self.classes:
      if fault := fault_of_name(name):
        raise UserError(
          f"`classes` has {quoted(name)}, which {fault}: give it another name."
        )
    check(
      self.class_weights in ((), ("balanced",))
      or all(map(_is_weight, self.class_weights)),
      "class_weights",
      ",".join(self.class_weights),
      "balanced, or a number above 0 for each class: 1,2.5",
    )

  def recipe(self) -> Mapping[str, Any]:
    """What training starts from where the user says nothing else."""
    scheme = "".join(self.encoder.partition(":")[:2])
    recipe = dict(RECIPES.get(scheme, {}))
    if self.name in NAMED_SETS:
      recipe["evaluation"] = {"split": NAMED_SETS[self.name].dev}
    return recipe


def _is_weight(text: str) -> bool:
  try:
    return 0 < float(text) < float("inf")
  except ValueError:
    return False

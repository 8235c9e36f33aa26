"""Where the pairs of a split are: in text files, encoded, or published.

`open_split` alone decides which of these it is. Who wants pairs, classes or
files asks what it returns.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence

from absl import logging

from engine.errors import UserError, shortened
from engine.settings import check
from tasks.answers import Answers, Classes, Score
from tasks.config import DEMO, FILES, SentencePairConfig
from tasks.data import published, record_files, store_files
from tasks.data.columns import open_table
from tasks.data.forms import FormSettings, find_files
from tasks.data.labels import Labels, check_labelled, find_classes
from tasks.data.pairs import Pairs
from tasks.data.pairs_on_disk import PairsOnDisk, is_large
from tasks.data.places import PartSplit, PublishedSplit, RecordSplit, Split
from tasks.data.tables import Choice, Roles, Table, pairs_of
from tasks.named_sets import NAMED_SETS

DEMO_CLASSES = ("different", "paraphrase")


@dataclasses.dataclass(frozen=True)
class TextSplit(Split):
  """Pairs in text files: a user's, the official ones of a set, the demo's."""

  config: SentencePairConfig
  name: str
  table: Table
  tells: bool = True  # What it leaves out.

  def read(self, answers: Answers | None) -> Pairs | PairsOnDisk:
    table = self.table
    paths = ", ".join(table.paths)
    pairs: Pairs | PairsOnDisk
    if is_large(table):
      logging.warning(
        "%s: pairs are read and encoded whenever a batch has them; "
        "launch.encode does it once.",
        shortened(paths, 100),
      )
      pairs = self._left_on_disk(table, answers)
      left = pairs.left
    else:
      pairs = pairs_of(table.rows(), answers)
      left = table.left
      pairs = dataclasses.replace(pairs, unread=left.bad)
    if self.tells:
      left.tell(table.paths)
    if not len(pairs):
      raise UserError(f"{shortened(paths, 100)} has no pair of {self.name!r}.")
    return pairs

  def _left_on_disk(self, table: Table, answers: Answers | None) -> PairsOnDisk:
    if answers is None:
      return PairsOnDisk(table)
    unknown = self.name == "train" and not _known_classes(self.config)
    if unknown and answers.classes:
      return pairs_and_classes(self.config)[0]
    return PairsOnDisk(table, answers.number, scores=not answers.classes)

  def find_classes(self) -> Sequence[str]:
    if is_large(self.table):
      return pairs_and_classes(self.config)[1]
    return find_classes(self.table)


def open_split(
  config: SentencePairConfig, split: str, *, labelled: bool = True
) -> Split:
  """Finds where a split is; opens its files, but reads no pair.

  Args:
    config: of the task.
    split: its name.
    labelled: whether labels are asked for; else no label or weight is looked
      at, nor needs to be there.

  Raises:
    UserError: where it is not there, or what its files hold is not clear.
  """
  if config.eval_fraction and split in ("train", "dev"):
    return _part_of_files(config, split)
  return _open_whole(config, split, labelled)


def _part_of_files(config: SentencePairConfig, split: str) -> PartSplit:
  """Opens what is held out of the training files, or all else of them."""
  whole = _open_whole(config, "train", labelled=True)
  if isinstance(whole, RecordSplit):
    raise UserError(
      f"{shortened(config.train_file, 100)} is encoded, and nothing can be "
      "held out of it: name --eval_file=..., or encode the texts with "
      f"--eval_fraction={config.eval_fraction:g}."
    )
  held = split == "dev"
  if isinstance(whole, TextSplit) and held:
    whole = dataclasses.replace(whole, tells=False)  # Training has said it.
  return PartSplit(config, held, whole, lambda: answers_of(config))


def _open_whole(
  config: SentencePairConfig, split: str, labelled: bool
) -> Split:
  """As `open_split`, of all pairs that files or a published split hold."""
  setting, pattern = _file_of(config, split)
  if pattern:
    paths = find_files(store_files.pattern_of(pattern, split), setting)
    if store_files.are_stores(paths):
      return RecordSplit(config, paths, mapped=True)
    if record_files.are_records(paths):
      return RecordSplit(config, paths)
    table = _own_table(config, split, labelled)
  elif config.name == DEMO:
    table = _demo_table(config, split)
  elif published.is_local(NAMED_SETS[config.name], config.data_dir):
    table = published.open_official(config, split, labelled)
  else:
    return PublishedSplit(config, split)
  return TextSplit(config, split, table)


def columns_of_training(config: SentencePairConfig) -> dict[str, str]:
  """Returns role -> column of the sentences, where texts have columns."""
  try:
    table = _open_whole(config, "train", labelled=True).table
  except UserError:  # Whoever trains on them says what is wrong.
    return {}
  if table is None:
    return {}
  roles = {"text_a": table.roles.text_a, "text_b": table.roles.text_b}
  return {role: column for role, column in roles.items() if column}


def open_texts(config: SentencePairConfig, split: str) -> Table:
  """As `open_split`, of a split that is known to be in text files."""
  found = _open_whole(config, split, labelled=True)
  assert isinstance(found, TextSplit), found
  return found.table


def read_split(
  config: SentencePairConfig, split: str, answers: Answers | None
) -> Pairs | PairsOnDisk:
  """Opens and reads a split: see `open_split` and `Split.read`."""
  labelled = answers is not None
  return open_split(config, split, labelled=labelled).read(answers)


def answers_of(config: SentencePairConfig) -> Answers:
  """Returns what the labels of a task mean.

  Raises:
    UserError: where the classes cannot be found.
  """
  named = NAMED_SETS.get(config.name)
  if has_scores(config):
    _check_scores(config)
    return Score(named.board.limits) if named else Score()
  known = _known_classes(config)
  return Classes(
    known or open_split(config, "train").find_classes(),
    given=bool(known),
    positive=config.positive,
    smoothing=config.label_smoothing,
  )


def has_scores(config: SentencePairConfig) -> bool:
  """Whether the labels of a task are scores, not classes."""
  if config.kind != "auto":
    return config.kind == "regression"
  named = NAMED_SETS.get(config.name)
  return bool(named and not named.classes)


def _check_scores(config: SentencePairConfig) -> None:
  """Refuses or names settings that are of classes alone."""
  for name in ("class_weights", "positive"):
    value = getattr(config, name)
    check(not value, name, value, "empty, since labels are scores")
  for name in ("classes", "label_smoothing"):
    if getattr(config, name):
      logging.warning("`%s` is not used: labels are scores.", name)


@functools.lru_cache(maxsize=1)
def pairs_and_classes(
  config: SentencePairConfig,
) -> tuple[PairsOnDisk, tuple[str, ...]]:
  """Reads large training files and the names of their classes in one pass."""
  table = open_texts(config, "train")
  check_labelled(table)
  labels = Labels(table.roles.label)
  pairs = PairsOnDisk(table, labels.number)
  classes = labels.classes()
  pairs.relabel([classes.index(name) for name in labels.numbers])
  return pairs, classes


def _known_classes(config: SentencePairConfig) -> Sequence[str]:
  """Returns the names of the classes, where nothing must be read for them."""
  if config.classes or config.name == DEMO:
    return config.classes or DEMO_CLASSES
  named = NAMED_SETS.get(config.name)
  return named.classes if named else ()


def _file_of(config: SentencePairConfig, split: str) -> tuple[str, str]:
  """Returns the setting that names the files of a split, and its value.

  Raises:
    UserError: where the pairs can only be in files, and none are named.
  """
  settings = {"train": "train_file", "test": "test_file"}
  setting = settings.get(split, "eval_file")
  value = getattr(config, setting)
  known = {"train", "dev", "test"}
  if named := NAMED_SETS.get(config.name):
    known |= {*named.splits, *named.files}
  if value or config.name == FILES:
    published.check_split(config.name, split, known)
  if config.name == FILES and not value:
    cure = ""
    if split == "dev" and config.train_file:
      cure = ", or hold some of train_file out by --eval_fraction=0.1"
    raise UserError(
      f"`{setting}` is not given: add --{setting}=... with the pairs of the "
      f"split {split!r}{cure}."
    )
  return setting, value


def _own_table(config: SentencePairConfig, split: str, labelled: bool) -> Table:
  setting, pattern = _file_of(config, split)
  weight = config.weight if labelled and split == "train" else ""
  label = config.label if labelled else ""
  return open_table(
    pattern,
    Roles(config.text_a, config.text_b, label, weight),
    setting=setting,
    may_lack_labels=split == "test",
    form=FormSettings(config.file_format, config.quoting, config.columns),
    choice=Choice(
      unlabelled=config.unlabelled or None, skips=config.skip_bad_lines
    ),
  )


def _demo_table(config: SentencePairConfig, split: str) -> Table:
  if not config.data_dir:
    published.check_split("demo", split, ("train", "dev"))
  folder = config.data_dir or os.path.dirname(__file__)
  return open_table(
    os.path.join(folder, "pairs.tsv"),
    Roles("text_a", "text_b", "label"),
    setting="data_dir",
    choice=Choice(only=("split", split)),
  )

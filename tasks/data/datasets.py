"""Where the pairs of a split come from: files, a published set, the demo."""

import functools
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from engine.errors import UserError
from tasks.answers import Answers, Classes, Score
from tasks.config import DEMO, FILES, SentencePairConfig
from tasks.data import record_files
from tasks.data.columns import open_table
from tasks.data.labels import Labels, check_labelled, find_classes
from tasks.data.pairs import Pairs
from tasks.data.pairs_on_disk import PairsOnDisk, is_large
from tasks.data.row_files import find_files
from tasks.data.tables import Table, pairs_of
from tasks.named_sets import NAMED_SETS, NamedSet

DEMO_CLASSES = ("different", "paraphrase")
_NO_LABEL = -1  # What TFDS has where nobody knows.


def file_of(config: SentencePairConfig, split: str) -> tuple[str, str]:
  """Returns the setting that names the files of a split, and its value.

  Raises:
    UserError: where the pairs can only be in files, and none are named.
  """
  settings = {"train": "train_file", "test": "test_file"}
  setting = settings.get(split, "eval_file")
  value = getattr(config, setting)
  if config.name == FILES and not value:
    raise UserError(
      f"`{setting}` is not given: add --{setting}=... with the pairs of the "
      f"split {split!r}."
    )
  return setting, value


def records_of(config: SentencePairConfig, split: str) -> list[str]:
  """Returns the TFRecord files of a split; none where it is somewhere else.

  Raises:
    UserError: where a file that is named is not there.
  """
  setting, pattern = file_of(config, split)
  paths = find_files(pattern, setting)
  return paths if record_files.are_records(paths) else []


def table_of(config: SentencePairConfig, split: str) -> Table | None:
  """Opens the text files of a split; None where it is not in text files.

  Raises:
    UserError: where they are not there, or what they hold is not clear.
  """
  setting, pattern = file_of(config, split)
  named = NAMED_SETS.get(config.name)
  if pattern:
    return open_table(
      pattern,
      setting=setting,
      text_a=config.text_a,
      text_b=config.text_b,
      label=config.label,
      may_lack_labels=split == "test",
      weight=config.weight if split == "train" else "",
      unlabelled=config.unlabelled or None,
      file_format=config.file_format,
      quoting=config.quoting,
      columns=config.columns,
      skips=config.skip_bad_lines,
    )
  if named and _is_local(named, config.data_dir):
    return _official_table(config, named, split)
  if config.name == DEMO:
    folder = config.data_dir or os.path.dirname(__file__)
    return open_table(
      os.path.join(folder, "pairs.tsv"),
      setting="data_dir",
      text_a="text_a",
      text_b="text_b",
      label="label",
      only=("split", split),
    )
  return None


def answers_of(config: SentencePairConfig) -> Answers:
  """Returns what the labels of a task mean.

  Raises:
    UserError: where the classes cannot be found.
  """
  named = NAMED_SETS.get(config.name)
  kind = config.kind
  if kind == "auto":
    kind = "regression" if named and not named.classes else "classes"
  if kind == "regression":
    return Score()
  classes = _known_classes(config) or _found_classes(config)
  return Classes(
    classes,
    smoothing=config.label_smoothing,
    ranked=named is not None and named.ranked,
  )


def _known_classes(config: SentencePairConfig) -> Sequence[str]:
  """Returns the names of the classes, where nothing must be read for them."""
  if config.classes or config.name == DEMO:
    return config.classes or DEMO_CLASSES
  named = NAMED_SETS.get(config.name)
  return named.classes if named else ()


def _found_classes(config: SentencePairConfig) -> Sequence[str]:
  """Returns the names of the classes that the training files have."""
  paths = records_of(config, "train")
  if not paths:
    table = table_of(config, "train")
    if is_large(table):
      return _of_unknown_classes(config)[1]
    return find_classes(table)
  classes = record_files.read_meta(paths).get("classes")
  if not classes:
    raise UserError(
      f"{config.train_file} does not say its classes: name them by "
      "--classes=no,yes, in the order of the labels."
    )
  return classes


def read_split(
  config: SentencePairConfig, split: str, answers: Answers
) -> Pairs | PairsOnDisk:
  """Reads the pairs of a split, or where they are.

  Args:
    config: of the task.
    split: of the data set.
    answers: what labels mean.

  Raises:
    UserError: where it is not there, or is not as it must be.
  """
  table = table_of(config, split)
  if table is None:
    return _from_tfds(config, split)
  paths = ", ".join(table.paths)
  if is_large(table):
    logging.warning(
      "%s: pairs are read and encoded whenever a batch has them; launch.encode "
      "does it once.",
      paths,
    )
    if split == "train" and not _known_classes(config) and answers.classes:
      pairs, _ = _of_unknown_classes(config)
    else:
      pairs = PairsOnDisk(table, lambda x: answers.number(x.label, x.place))
    bad = pairs.bad
  else:
    pairs = pairs_of(table.rows(), answers)
    bad = table.bad
  if bad:
    logging.warning("%s: passed over %d bad lines.", paths, bad)
  if not len(pairs):
    raise UserError(f"{paths} has no pair of {split!r}.")
  return pairs


@functools.lru_cache(maxsize=1)
def _of_unknown_classes(
  config: SentencePairConfig,
) -> tuple[PairsOnDisk, tuple[str, ...]]:
  """Reads training pairs and the names of their classes in one pass."""
  table = table_of(config, "train")
  check_labelled(table)
  labels = Labels(table.label)
  pairs = PairsOnDisk(table, labels.number)
  classes = labels.classes()
  pairs.relabel([classes.index(name) for name in labels.numbers])
  return pairs, classes


def _is_local(named: NamedSet, data_dir: str) -> bool:
  """Whether a directory has the official files of a set."""
  return bool(data_dir) and tf.io.gfile.exists(
    os.path.join(data_dir, named.files["train"])
  )


def _official_table(
  config: SentencePairConfig, named: NamedSet, split: str
) -> Table:
  _check_split(config.name, split, named.files)
  path = os.path.join(config.data_dir, named.files[split])
  text_a, text_b, label = named.file_columns
  return open_table(
    path,
    setting="data_dir",
    text_a=text_a,
    text_b=text_b,
    label=label,
    may_lack_labels=split.startswith("test"),
    unlabelled=named.unlabelled,
    skips=config.skip_bad_lines,
  )


def _check_split(name: str, split: str, splits: Sequence[str]) -> None:
  if split not in splits:
    raise UserError(f"`split` is {split!r}, but {name} has {sorted(splits)}.")


@functools.lru_cache(maxsize=4)
def _from_tfds(config: SentencePairConfig, split: str) -> Pairs:
  """Reads a split through TFDS.

  Raises:
    UserError: where it is neither prepared nor to be fetched.
  """
  named = NAMED_SETS[config.name]
  _check_split(config.name, split, named.splits)
  if not named.tfds:
    raise UserError(
      f"`data_dir` {config.data_dir!r} has no {named.files['train']}, and "
      f"{config.name} is not in TFDS: name the directory of its files by "
      "--data_dir."
    )
  # Imported here: TFDS costs seconds, and not each task needs it.
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  builder = tfds.builder(named.tfds, data_dir=config.data_dir or None)
  if not os.path.exists(builder.data_dir):
    try:
      builder.download_and_prepare()
    except Exception as error:
      raise UserError(
        f"{named.tfds} is not prepared in {builder.data_dir_root} and cannot "
        f"be fetched ({type(error).__name__}): name a prepared TFDS directory, "
        f"or one with {named.files['train']}, by --data_dir, or run once with "
        "a network."
      ) from error
  rows = tfds.as_numpy(
    builder.as_dataset(split=named.splits[split], batch_size=-1)
  )
  text_a, text_b, label = named.columns
  labels = rows[label]
  known = labels != _NO_LABEL
  if not known.any():
    labels, known = None, np.ones_like(known)
  keep = np.flatnonzero(known)
  ids = rows.get("idx", np.arange(len(known)))
  return Pairs(
    texts_a=[rows[text_a][i].decode() for i in keep],
    texts_b=[rows[text_b][i].decode() for i in keep],
    labels=None if labels is None else labels[keep].tolist(),
    ids=ids[keep].tolist(),
  )

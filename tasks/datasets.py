"""Where the pairs of a split come from: named data sets, and text files."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from absl import logging

from engine.errors import UserError
from tasks import records
from tasks.config import FILES, SentencePairConfig
from tasks.pairs import Pairs, read_tsv
from tasks.row_files import find_files
from tasks.tables import Table, find_classes, open_table, pairs_of


class Dataset(NamedTuple):
  """A named data set.

  Attributes:
    classes: names of the classes, in the order of the labels.
    read: (split, data_dir) -> pairs; splits are train, dev and, where there
      is one, test.
  """

  classes: Sequence[str]
  read: Callable[[str, str], Pairs]


def read_demo(split: str, data_dir: str) -> Pairs:
  """Reads the project's own corpus, or another `pairs.tsv` of its form."""
  data_dir = data_dir or os.path.join(os.path.dirname(__file__), "data")
  path = os.path.join(data_dir, "pairs.tsv")
  return read_tsv(path, split=split, classes=DATASETS["demo"].classes)


def read_mrpc(split: str, data_dir: str) -> Pairs:
  """Reads GLUE's MRPC through TFDS (Dolan and Brockett, 2005).

  Raises:
    UserError: where it is neither prepared nor to be fetched.
  """
  # Imported here: TFDS costs seconds, and not each task needs it.
  import tensorflow_datasets as tfds

  splits = {"train": "train", "dev": "validation", "test": "test"}
  if split not in splits:
    raise UserError(f"`split` is {split!r}, but mrpc has {sorted(splits)}.")
  tfds.disable_progress_bar()
  builder = tfds.builder("glue/mrpc", data_dir=data_dir or None)
  if not os.path.exists(builder.data_dir):
    try:
      builder.download_and_prepare()
    except Exception as error:
      raise UserError(
        f"glue/mrpc is not prepared in {builder.data_dir_root} and cannot be "
        f"fetched ({type(error).__name__}): name a prepared TFDS directory by "
        "--data_dir, or run once with a network."
      ) from error
  rows = tfds.as_numpy(builder.as_dataset(split=splits[split], batch_size=-1))
  labels = [int(label) for label in rows["label"]]
  return Pairs(
    texts_a=[text.decode() for text in rows["sentence1"]],
    texts_b=[text.decode() for text in rows["sentence2"]],
    labels=None if -1 in labels else labels,
    ids=[int(i) for i in rows["idx"]],
  )


DATASETS: Mapping[str, Dataset] = {
  "demo": Dataset(("different", "paraphrase"), read_demo),
  "mrpc": Dataset(("not_equivalent", "equivalent"), read_mrpc),
}


def file_of(config: SentencePairConfig, split: str) -> tuple[str, str]:
  """Returns the setting that names the files of a split, and its value."""
  settings = {"train": "train_file", "test": "test_file"}
  setting = settings.get(split, "eval_file")
  value = getattr(config, setting)
  if config.name == FILES and not value:
    raise UserError(
      f"`{setting}` is not given: add --{setting}=... with the pairs of the "
      f"split {split!r}."
    )
  return setting, value


def table_of(config: SentencePairConfig, split: str) -> Table | None:
  """Opens the text files of a split; None where none are named.

  Raises:
    UserError: where they are not there, or what they hold is not clear.
  """
  setting, pattern = file_of(config, split)
  if not pattern:
    return None
  if records.are_records(pattern):
    raise UserError(f"`{setting}` {pattern} holds records, which have no text.")
  return open_table(
    pattern,
    setting=setting,
    text_a=config.text_a,
    text_b=config.text_b,
    label=config.label,
    quoting=config.quoting,
    skips=config.skip_bad_lines,
  )


def classes_of(config: SentencePairConfig) -> tuple[str, ...]:
  """Returns the names of the classes, in the order of the labels.

  Raises:
    UserError: where they cannot be found.
  """
  if config.classes:
    return tuple(config.classes)
  if config.name != FILES:
    return tuple(DATASETS[config.name].classes)
  setting, pattern = file_of(config, "train")
  if not records.are_records(pattern):
    return find_classes(table_of(config, "train"))
  classes = records.read_meta(find_files(pattern, setting)).get("classes")
  if not classes:
    raise UserError(
      f"{pattern} does not say its classes: add --params_override="
      "'{task: {classes: [no, yes]}}', in the order of the labels."
    )
  return tuple(classes)


def read_split(
  config: SentencePairConfig, split: str, classes: Sequence[str]
) -> Pairs:
  """Reads the pairs of a split.

  Args:
    config: of the task.
    split: of the data set.
    classes: names of the classes.

  Raises:
    UserError: where it is not there, or is not as it must be.
  """
  table = table_of(config, split)
  if table:
    pairs = pairs_of(table.rows(), classes)
    if table.bad:
      logging.warning("%s: passed over %d bad lines.", table.paths, table.bad)
    return pairs
  return DATASETS[config.name].read(split, config.data_dir)

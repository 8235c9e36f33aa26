"""Pairs of the named data sets, as their publishers laid them out."""

import contextlib
import functools
import os
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import UserError, quoted, words_of
from tasks.answers import Answers
from tasks.config import SentencePairConfig
from tasks.data.columns import open_table
from tasks.data.left_out import LeftOut
from tasks.data.pairs import Pairs
from tasks.data.tables import Choice, Roles, Table
from tasks.named_sets import NAMED_SETS, NamedSet

_NO_LABEL = -1  # What TFDS has where nobody knows.


def is_local(named: NamedSet, data_dir: str) -> bool:
  """Whether a directory has the official files of a set."""
  return bool(data_dir) and tf.io.gfile.exists(
    os.path.join(data_dir, named.files["train"])
  )


def open_official(
  config: SentencePairConfig, split: str, labelled: bool = True
) -> Table:
  """Opens the official file of a split.

  Args:
    config: of the task.
    split: its name.
    labelled: whether labels are asked for.

  Raises:
    UserError: where the set has no such split, or the file is not there.
  """
  named = NAMED_SETS[config.name]
  check_split(config.name, split, named.files)
  return open_table(
    os.path.join(config.data_dir, named.files[split]),
    Roles(*named.file_columns[:2], named.file_columns[2] if labelled else ""),
    setting="data_dir",
    may_lack_labels=split.startswith("test"),
    choice=Choice(unlabelled=named.unlabelled, skips=config.skip_bad_lines),
  )


def read_tfds(
  config: SentencePairConfig, split: str, answers: Answers | None
) -> Pairs:
  """Reads a split through TFDS; labels are None where nobody has them.

  Args:
    config: of the task.
    split: its name.
    answers: what labels mean; None: no label is looked at.

  Raises:
    UserError: where it is neither prepared nor to be fetched, or its labels
      are others.
  """
  named = NAMED_SETS[config.name]
  rows = _rows(config, split)
  text_a, text_b, label = named.columns
  known = rows[label] != _NO_LABEL
  hidden = answers is None or not known.any()
  keep = np.flatnonzero(known | hidden)
  labels = None if hidden else rows[label][keep]
  if answers is not None and labels is not None:
    _check_order(named, answers)
    answers.check(labels, f"{config.name}, {split!r},")
  ids = rows.get("idx", np.arange(len(known)))
  left = LeftOut(len(known), unlabelled=ids[~(known | hidden)].tolist())
  left.tell([f"{named.tfds}, {split}"])
  return Pairs(
    texts_a=[rows[text_a][i].decode() for i in keep],
    texts_b=[rows[text_b][i].decode() for i in keep],
    labels=None if labels is None else labels.tolist(),
    ids=ids[keep].tolist(),
  )


def _check_order(named: NamedSet, answers: Answers) -> None:
  """Raises `UserError` where numbers would be those of other classes."""
  theirs, ours = list(named.classes), list(answers.classes)
  if ours != theirs and sorted(ours) == sorted(theirs):
    raise UserError(
      f"`classes` are {ours}, but those of {named.tfds} have the order "
      f"{theirs}: name them so, or not at all."
    )


@functools.lru_cache(maxsize=4)
def _rows(config: SentencePairConfig, split: str) -> dict[str, np.ndarray]:
  named = NAMED_SETS[config.name]
  check_split(config.name, split, named.splits)
  if not named.tfds:
    raise UserError(
      f"`data_dir` {config.data_dir!r} has no {named.files['train']}, and "
      f"{config.name} is not in TFDS: name the directory of its files by "
      "--data_dir."
    )
  # Imported here: TFDS costs seconds, and not each task needs it.
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  with damage_named(named, config):
    place = os.path.join(config.data_dir or "/none", named.tfds)
    for folder, _, names in os.walk(place):
      for name in names:
        if not os.path.isfile(os.path.join(folder, name)):
          raise ValueError(f"{name} is no regular file")  # A pipe has no end.
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
  with damage_named(named, config, builder.data_dir):
    rows = tfds.as_numpy(
      builder.as_dataset(split=named.splits[split], batch_size=-1)
    )
    promised = builder.info.splits[named.splits[split]].num_examples
    return checked(rows, named, promised)


def checked(
  rows: dict[str, np.ndarray], named: NamedSet, promised: int
) -> dict[str, np.ndarray]:
  """Returns the rows of a split, once they are seen to be whole.

  Args:
    rows: name -> array [pairs], as TFDS has them.
    named: the set.
    promised: pairs that the split has.

  Raises:
    ValueError, KeyError: where it is not as its publishers made it.
  """
  for name in named.columns[:2]:
    for text in rows[name]:
      text.decode()
  labels = rows[named.columns[2]]
  if not len(labels) == promised > 0:
    raise ValueError(f"{len(labels)} of {promised} pairs are left")
  if not np.isfinite(labels).all():
    raise ValueError("a label is not finite")
  least, most = labels.min(), labels.max()
  if named.classes and not _NO_LABEL <= least <= most < len(named.classes):
    raise ValueError(f"a label is none of {len(named.classes)} classes")
  return rows


@contextlib.contextmanager
def damage_named(
  named: NamedSet, config: SentencePairConfig, directory: Any = ""
) -> Iterator[None]:
  """Turns whatever TFDS says of a directory that it cannot read."""
  try:
    yield
  except Exception as error:
    place = directory or config.data_dir or "its default directory"
    raise UserError(
      f"{named.tfds} in {place} cannot be read ({type(error).__name__}: "
      f"{words_of(error, 80)}): if it is damaged, remove it and prepare it "
      f"again, or name a directory with {named.files['train']} by --data_dir."
    ) from error


def check_split(name: str, split: str, splits: Collection[str]) -> None:
  """Raises `UserError` where a set has no such split."""
  if split not in splits:
    raise UserError(
      f"There is no split {quoted(split)} of {name}: use one of "
      f"{', '.join(sorted(splits))}."
    )

"""Pairs of the named data sets, as their publishers laid them out."""

import functools
import os
from collections.abc import Collection

import numpy as np
import tensorflow as tf

from engine.errors import UserError
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


def open_official(config: SentencePairConfig, split: str) -> Table:
  """Opens the official file of a split.

  Raises:
    UserError: where the set has no such split, or the file is not there.
  """
  named = NAMED_SETS[config.name]
  _check_split(config.name, split, named.files)
  return open_table(
    os.path.join(config.data_dir, named.files[split]),
    Roles(*named.file_columns),
    setting="data_dir",
    may_lack_labels=split.startswith("test"),
    choice=Choice(unlabelled=named.unlabelled, skips=config.skip_bad_lines),
  )


@functools.lru_cache(maxsize=4)
def read_tfds(
  config: SentencePairConfig, split: str, *, labelled: bool = True
) -> Pairs:
  """Reads a split through TFDS.

  Args:
    config: of the task.
    split: of the set.
    labelled: whether pairs without a label are left out, where some have one.

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
  if not labelled or not known.any():
    labels, known = None, np.ones_like(known)
  keep = np.flatnonzero(known)
  ids = rows.get("idx", np.arange(len(known)))
  left = LeftOut(len(known), unlabelled=ids[~known].tolist())
  left.tell([f"{named.tfds}, {split}"])
  return Pairs(
    texts_a=[rows[text_a][i].decode() for i in keep],
    texts_b=[rows[text_b][i].decode() for i in keep],
    labels=None if labels is None else labels[keep].tolist(),
    ids=ids[keep].tolist(),
  )


def _check_split(name: str, split: str, splits: Collection[str]) -> None:
  if split not in splits:
    raise UserError(f"`split` is {split!r}, but {name} has {sorted(splits)}.")

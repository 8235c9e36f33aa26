"""The named data sets: name -> classes and splits of sentence pairs."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from engine.errors import UserError
from tasks.pairs import Pairs, read_tsv


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

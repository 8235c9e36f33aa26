"""What kinds of splits there are, before they are read."""

import abc
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from absl import logging

from engine.errors import UserError, shortened
from tasks.answers import Answers
from tasks.config import SentencePairConfig
from tasks.data import published, record_files
from tasks.data.pairs import Pairs
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.data.split_off import held_out
from tasks.data.tables import Table


class Split(abc.ABC):
  """A split, before it is read.

  Attributes:
    table: the text files that hold it, if such do.
  """

  table: Table | None = None

  @abc.abstractmethod
  def read(self, answers: Answers | None) -> Pairs | PairsOnDisk:
    """Reads the pairs, or where they are; labels are None if nobody has them.

    Args:
      answers: what labels mean; None: they are not looked at, and all pairs
        are read that can be.

    Raises:
      UserError: where they are not there, or are not as they must be.
    """

  @abc.abstractmethod
  def find_classes(self) -> Sequence[str]:
    """Returns the names of the classes, of a training split.

    Raises:
      UserError: where it has none.
    """


@dataclasses.dataclass(frozen=True)
class PartSplit(Split):
  """A part of the training files: what is held out of them, or all else.

  Attributes:
    config: of the task.
    held: whether it is what is held out.
    whole: the files.
    answers: finds what labels mean.
  """

  config: SentencePairConfig
  held: bool
  whole: Split
  answers: Callable[[], Answers]

  def read(self, answers: Answers | None) -> Pairs | PairsOnDisk:
    known = answers or self.answers()
    pairs = self.whole.read(known)
    assert pairs.labels is not None, "a training split has labels"
    share = self.config.eval_fraction
    held = held_out(
      pairs.sentences.pairs(),
      np.asarray(pairs.labels),
      share,
      scores=not known.classes,
    )
    if not self.held and answers:
      logging.warning(
        "there is no --eval_file: %s of %s pairs of %s, the same share of each "
        "label, are held out as 'dev' (--eval_fraction=%g).",
        f"{np.count_nonzero(held):,}",
        f"{len(pairs):,}",
        shortened(self.config.train_file, 100),
        share,
      )
    some = pairs.chosen(np.flatnonzero(held == self.held))
    return some if answers else some.unlabelled()

  def find_classes(self) -> Sequence[str]:
    return self.whole.find_classes()


@dataclasses.dataclass(frozen=True)
class RecordSplit(Split):
  """Pairs that `launch.encode` has turned into tokens.

  Attributes:
    config: of the task.
    paths: of TFRecord files, or of the shards of a store.
    mapped: whether it is a store.
  """

  config: SentencePairConfig
  paths: Sequence[str]
  mapped: bool = False

  def read(self, answers: Answers | None) -> Pairs:
    raise UserError(
      f"{self.paths[0]} holds no texts: name the files it was made of."
    )

  def find_classes(self) -> Sequence[str]:
    classes = record_files.read_meta(self.paths).get("classes")
    if not classes:
      raise UserError(
        f"{self.config.train_file} does not say its classes: name them by "
        "--classes=no,yes, in the order of the labels."
      )
    return classes


@dataclasses.dataclass(frozen=True)
class PublishedSplit(Split):
  """Pairs of a named set that TFDS has, or fetches."""

  config: SentencePairConfig
  name: str

  def read(self, answers: Answers | None) -> Pairs:
    return published.read_tfds(self.config, self.name, answers)

  def find_classes(self) -> Sequence[str]:
    raise UserError(
      f"`kind` is {self.config.kind!r}, but the labels of {self.config.name} "
      "are scores: drop --kind."
    )

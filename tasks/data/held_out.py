"""Which pairs of the training split are trained on: all, or those asked for."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from engine.errors import UserError
from tasks.config import DEMO, FILES, SentencePairConfig
from tasks.data import published
from tasks.data.datasets import open_split
from tasks.data.leaks import partners
from tasks.data.pairs import Pairs
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.data.places import RecordSplit
from tasks.named_sets import NAMED_SETS


def chosen(
  config: SentencePairConfig, pairs: Pairs | PairsOnDisk
) -> Pairs | PairsOnDisk:
  """Returns the pairs of the training split that a config trains on."""
  if config.drop_leaks:
    pairs = without_leaks(config, pairs)
  if config.train_fraction < 1:
    pairs = pairs.chosen(part_of(len(pairs), config.train_fraction))
  return pairs


def check_chosen(config: SentencePairConfig) -> None:
  """Raises `UserError` where encoded pairs would have to be chosen from."""
  if config.drop_leaks:
    raise refusal("the pairs of 'train'")
  if config.train_fraction < 1:
    raise UserError(
      f"`train_fraction` is {config.train_fraction:g}, but the pairs of "
      "'train' are encoded: name the text files."
    )


def part_of(number: int, fraction: float) -> np.ndarray:
  """Returns some of so many pairs, rising: int64 [some].

  The smaller parts are in the larger ones, and all seeds train on the same:
  seeds tell the noise of training, fractions what data are worth.
  """
  words = np.random.Philox(key=[0, 2]).random_raw(number)
  some = np.argsort(words, kind="stable")[: max(1, round(number * fraction))]
  return np.sort(some)


def without_leaks(
  config: SentencePairConfig, pairs: Pairs | PairsOnDisk
) -> Pairs | PairsOnDisk:
  """Returns training pairs that share no sentence with any other split.

  Raises:
    UserError: where another split has no texts, or nothing is left.
  """
  keep = np.ones(len(pairs), bool)
  names = [*other_splits(config)]
  for name in names:
    other = open_split(config, name, labelled=False)
    if isinstance(other, RecordSplit):
      raise refusal(f"the pairs of {name!r}")
    theirs = np.unique(other.read(None).sentences.all)
    for ours in pairs.sentences:
      if ours is not None:
        keep &= partners(ours, theirs) < 0
  left = int(np.count_nonzero(keep))
  if not left:
    raise UserError(
      f"`drop_leaks` leaves none of {len(pairs):,} pairs of 'train': all share "
      f"a sentence with {', '.join(names)}; drop it, or mend the files."
    )
  logging.warning(
    "left out %s of %s pairs of 'train' that share a sentence with %s.",
    *(f"{len(pairs) - left:,}", f"{len(pairs):,}", ", ".join(names)),
  )
  return pairs.chosen(np.flatnonzero(keep))


def refusal(which: str) -> UserError:
  """Returns what is to be said of a split without texts."""
  return UserError(
    f"`drop_leaks` is given, but {which} are encoded, without texts: name the "
    "text files, or leave it out."
  )


def other_splits(config: SentencePairConfig) -> Iterator[str]:
  """Yields the splits, beside "train", that a task has."""
  if config.name == DEMO:
    yield "dev"
    return
  if config.name == FILES or config.eval_file or config.test_file:
    if config.eval_file or config.eval_fraction:
      yield "dev"
    if config.test_file:
      yield "test"
    return
  named = NAMED_SETS[config.name]
  if not published.is_local(named, config.data_dir):
    yield from (x for x in named.splits if x != "train")
    return
  for name, files in named.files.items():
    path = f"{config.data_dir}/{files}"
    if name != "train" and tf.io.gfile.exists(path):
      yield name

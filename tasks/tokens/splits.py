"""The splits of a task: pairs are read, encoded, looked at and laid out."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from engine.errors import UserError
from engine.files import sha256_of
from engine.task import digest_of
from tasks.answers import Answers
from tasks.config import FILES, SentencePairConfig
from tasks.data.datasets import open_split
from tasks.data.held_out import check_chosen, chosen
from tasks.data.leaks import Leaks
from tasks.data.pairs import Pairs
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.data.places import RecordSplit
from tasks.data.record_files import check_meta, facts_of, read_meta
from tasks.data.weights import (
  check_counts,
  check_heaviest,
  of_classes,
  weights_of,
)
from tasks.model.flops import Flops
from tasks.tokens.columns import Column
from tasks.tokens.encoded import EncodedPairs
from tasks.tokens.on_demand import EncodedOnDemand
from tasks.tokens.pair_source import PairSource
from tasks.tokens.records import Records, read_records
from tasks.tokens.store import Store
from tasks.tokens.tokenizer import PairTokenizer

# What a split has beside tokens: labels, ids, weights; texts but in records.
Found = Pairs | PairsOnDisk | Records | Store
Encoded = EncodedPairs | EncodedOnDemand | Store


class Splits:
  """Opens splits, and remembers of 'train' what others are compared with.

      found = open_split(config, split)    # text files, records, published
      encoded = the tokens of each pair    # the records' own, or now
      say what is strange: leaks, one class only, pairs that are cut
      lay them out in rows

  Attributes:
    scores: mean and deviation of the scores of 'train', once it is open.
  """

  def __init__(
    self,
    config: SentencePairConfig,
    *,
    answers: Answers,
    tokenizer: PairTokenizer,
    flops: Callable[[np.ndarray], Flops],
  ):
    """Initializes it.

    Args:
      config: of the task.
      answers: what labels mean.
      tokenizer: of the encoder.
      flops: as `PairSource` takes it.
    """
    self._config = config
    self._answers = answers
    self._tokenizer = tokenizer
    self._flops = flops
    self._leaks: Leaks | None = None
    self.scores: tuple[float, float] | None = None

  def labelled(self, split: str) -> PairSource:
    """Opens a split to train or to evaluate on.

    Raises:
      UserError: where it is not there, has no labels, or teaches nothing.
    """
    found, encoded = self._read(split, self._answers)
    if isinstance(found, Store):
      return self._of_store(split, found)
    if found.labels is None:
      raise UserError(
        f"The split {split!r} of {self._config.name} has no labels, or they "
        "are not public: choose another split."
      )
    marks = self._look_for_leaks(split, found, encoded)
    labels = np.asarray(found.labels)
    if self._answers.classes:
      classes = len(self._answers.classes)
      self._look_at(split, np.bincount(labels.astype(int), minlength=classes))
    elif split == "train":
      # Equal scores have no distance: any one serves.
      self.scores = float(labels.mean()), float(labels.std()) or 1.0
    if split != "train":
      texts = None if isinstance(found, Records) else found.texts
      return self._laid_out(
        encoded, labels, found.ids, texts=texts, marks=marks
      )
    weights = weights_of(
      labels,
      found.weights,
      names=self._answers.classes,
      given=self._config.class_weights,
      ids=found.ids,
    )
    return self._laid_out(encoded, labels, found.ids, weights=weights)

  def unlabelled(self, pairs: Pairs | PairsOnDisk) -> PairSource:
    """Lays out pairs whose labels need not be known."""
    return self._laid_out(
      self._encode(pairs),
      pairs.labels,
      pairs.ids,
      unread=pairs.unread,
      swapped=lambda: self.unlabelled(pairs.swapped()),
    )

  def _read(self, split: str, answers: Answers | None) -> tuple[Found, Encoded]:
    """Returns the pairs of a split as its files have them, and encoded."""
    place = open_split(self._config, split, labelled=answers is not None)
    chooses = split == "train" and answers is not None
    if chooses and isinstance(place, RecordSplit):
      check_chosen(self._config)
    if isinstance(place, RecordSplit) and place.mapped:
      store = self._open_store(place.paths)
      return store, store
    if isinstance(place, RecordSplit):
      records = self._read_records(place.paths)
      if answers:
        answers.check(records.labels, ", ".join(place.paths))
      return records, records.encoded
    pairs = place.read(answers)
    if chooses:
      pairs = chosen(self._config, pairs)
    return pairs, self._encode(pairs)

  def _meta_of(self, paths: Sequence[str]) -> dict[str, Any]:
    """Reads what is said of what `launch.encode` wrote: it is for this task."""
    spec, meta = self._tokenizer.spec, read_meta(paths)
    check_meta(
      meta,
      os.path.dirname(paths[0]),
      length=self._config.max_seq_length,
      vocabulary=(spec.digest(), sha256_of(spec.source)),
      tokenizer=spec.facts(),
      classes=self._answers.classes,
    )
    return meta

  def _read_records(self, paths: Sequence[str]) -> Records:
    return read_records(
      paths,
      length=self._config.max_seq_length,
      vocabulary=len(self._tokenizer.spec.pieces),
      label_type=self._answers.dtype,
      facts=facts_of(self._meta_of(paths)),
      on_damaged=self._config.on_damaged_shard,
    )

  def _open_store(self, paths: Sequence[str]) -> Store:
    return Store(
      paths,
      self._meta_of(paths),
      classes=len(self._answers.classes),
      vocabulary=len(self._tokenizer.spec.pieces),
      label_type=self._answers.dtype,
      on_damaged=self._config.on_damaged_shard,
    )

  def _of_store(self, split: str, store: Store) -> PairSource:
    """As `labelled`, from what was counted when the pairs were encoded."""
    logging.warning(
      "%r is a store: leaks and copies of its pairs are not looked for.",
      split,
    )
    if store.unlabelled:
      raise UserError(
        f"{store.unlabelled:,} of {len(store):,} pairs of {split!r} have no "
        "label: choose another split, or mend and encode them again."
      )
    names, given = self._answers.classes, self._config.class_weights
    if names:
      self._look_at(split, store.counts)
    of_class, digest, heavy = None, store.digest(), store.heavy
    weights = Column(lambda indices: np.ones(len(indices), np.float32))
    if split == "train":
      self.scores = store.scores
      if given:
        of_class = of_classes(store.counts, names, given)
        heavy = np.where(of_class.astype(np.float32) > 0, heavy, 0)
        digest = digest_of(np.array([digest]), of_class)
      check_heaviest(store.heaviest, of_class)
      check_counts(store.counts, heavy, names)
      weights = store.weights(of_class)
    return self._laid_out(
      store,
      store.labels,
      store.ids,
      weights=weights,
      digest=digest,
    )

  def _encode(self, pairs: Pairs | PairsOnDisk) -> Encoded:
    """Encodes pairs, or a sample of them; says how many were too long."""
    length = self._config.max_seq_length
    encode = lambda pairs: self._tokenizer.encode(
      pairs.texts_a, pairs.texts_b, length
    )
    if isinstance(pairs, PairsOnDisk):
      encoded: Encoded = EncodedOnDemand(pairs, encode, length)
    else:
      encoded = encode(pairs)
    if encoded.truncated:
      looked_at = len(encoded.sample)
      logging.warning(
        "%d of %d pairs are longer than %d tokens and %s cut: "
        "training with a larger --max_seq_length reads more.",
        encoded.truncated,
        looked_at,
        length,
        "were" if looked_at == len(encoded) else "like all such ones are",
      )
    return encoded

  def _look_for_leaks(
    self, split: str, found: Found, encoded: Encoded
  ) -> dict[str, Any]:
    """Says which pairs flatter metrics; returns those of an evaluated split."""
    if split == "train":
      self._leaks = Leaks(found, encoded)
      if self._config.test_file:  # It will be asked some day.
        self._leaks.find("test", *self._read("test", None))
      return {}
    return self._leaks.find(split, found, encoded) if self._leaks else {}

  def _look_at(self, split: str, counts: np.ndarray) -> None:
    """Says how many pairs of files each class has; refuses a single class."""
    classes = self._answers.classes
    if self._config.name == FILES:
      said = (f"{n:,} {x}" for n, x in zip(counts, classes, strict=True))
      logging.warning("%r has %s.", split, ", ".join(said))
    if np.count_nonzero(counts) < 2:
      only = classes[counts.argmax()]
      if split == "train":
        raise UserError(
          f"All pairs of 'train' are {only!r}: there is nothing to learn, name "
          "files or columns with two classes or more."
        )
      logging.warning(
        "All pairs of %r are %r: their accuracy says little.", split, only
      )

  def _laid_out(
    self,
    encoded: Encoded,
    labels: Any,
    ids: Any,
    *,
    weights: Any = None,
    texts: Callable[[int], Sequence[str]] | None = None,
    unread: Mapping[int, str] | None = None,
    digest: int | None = None,
    marks: Mapping[str, Any] | None = None,
    swapped: Callable[[], PairSource] | None = None,
  ) -> PairSource:
    def tell(i):
      if texts is None:
        return self._tokenizer.decode(encoded.pick(np.array([i])).ids.tolist())
      return self._tokenizer.shown(texts(i), self._config.max_seq_length)

    return PairSource(
      encoded,
      labels,
      ids,
      weights=weights,
      label_type=self._answers.dtype,
      tell=tell,
      batching=self._config.batching,
      width=self._config.max_seq_length,
      flops=self._flops,
      unread=unread,
      digest=digest,
      marks=marks,
      swapped=swapped,
    )

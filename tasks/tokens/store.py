"""Encoded pairs in a store, mapped into memory: nothing is kept of a pair.

`tasks.data.store_files` says what its files are. Opening maps them, and looks
at sizes and headers alone; what is said of all pairs was counted when they were
encoded. A page is read when a pair on it is, and shared by all processes of a
host; of the pairs of other workers only the rows are looked at, not the tokens.

Pairs come in random order, so the kernel is asked not to read ahead, and pages
are unmapped again and again: they stay in its cache, but a process never holds
many. A file that was cut off, or written to, since it was opened ends the run
when a batch is next planned. Between that look and the read it is too late: no
program survives the cutting of a file that it maps, so nobody may write to
shards; `launch.encode` never does, it makes others.
"""

import functools
import mmap
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from engine.errors import UserError
from engine.task import digest_of
from tasks.data import store_files
from tasks.tokens.columns import Column, Lengths
from tasks.tokens.encoded import EncodedPairs
from tasks.tokens.mapped_shard import MappedShard, allow_files, mapped_bytes
from tasks.tokens.sealing import said_of

_MAPPED = 2**28  # Bytes of pages that a process holds, about.
_LOOK = 2**6  # Pairs read between two looks at that: one has 2 MiB at most.


class Store:
  """As `tasks.tokens.encoded.EncodedPairs`, of pairs in files.

  Attributes:
    longest: tokens that a pair can have.
    truncated: 0: it was said when they were encoded.
    sample: lengths of all pairs.
    counts: int [classes, or 1 for scores], pairs of each class.
    heavy: of these, pairs that weigh more than 0.
    heaviest: what a pair weighs, at most.
    unlabelled: pairs without a label.
    scores: mean and deviation of the labels; None: they are classes.
  """

  truncated = 0

  def __init__(
    self,
    paths: Sequence[str],
    meta: Mapping[str, Any],
    *,
    classes: int,
    vocabulary: int,
    label_type: type[np.generic],
    on_damaged: str = "stop",
  ):
    """Maps shards.

    Args:
      paths: of shards, in the order of their pairs.
      meta: a `meta_data`, which says what they are.
      classes: how many there are; 0: labels are scores.
      vocabulary: how many ids of tokens there are.
      label_type: int32, or float32 for scores.
      on_damaged: "stop" at a damaged shard, or "skip" the whole of it.

    Raises:
      UserError: naming the shard that is damaged, or of a newer version.
    """
    split = store_files.split_of(os.path.basename(paths[0]))
    said = said_of(paths, meta)
    whole = [
      name for name in said["shards"] if store_files.split_of(name) == split
    ]
    folder, here = os.path.dirname(paths[0]), {*paths}
    every_path = (os.path.join(folder, name) for name in whole)
    gone = [x for x in every_path if x not in here and not os.path.exists(x)]
    paths = [*paths, *gone]
    allow_files(2 * len(paths))
    self._shards: list[MappedShard] = []
    first = 0
    for path in paths:
      try:
        facts = said["shards"].get(os.path.basename(path))
        if facts is None:
          raise UserError(f"{path} is not named in meta_data: encode again.")
        with store_files.damage_named(path):
          facts = store_files.checked_facts(path, facts, classes)
          shard = MappedShard.open(path, facts, first)
          if store_files.read_facts(path, classes) != facts:
            raise ValueError("meta_data is of another shard")
          self._shards.append(shard)
      except UserError as error:
        if on_damaged == "stop":
          raise
        logging.warning("passed over a shard: %s", error)
        continue
      first += facts["pairs"]
    if not self._shards:
      raise UserError(f"No shard is left in {folder}: encode again.")
    every = [shard.facts for shard in self._shards]
    self._ends = np.cumsum([facts["pairs"] for facts in every])
    self._vocabulary = vocabulary
    self._classes = classes
    self._row = np.dtype(
      [("shard", "<i8"), ("start", "<i8"), ("length", "<i8"), ("first", "<i4")]
      + [("label", np.dtype(label_type)), ("weight", "<f4"), ("id", "<i8")]
    )
    # What addresses in rows are held against.
    self._longest = np.array([facts["longest"] for facts in every])
    self._tokens = np.array([facts["tokens"] for facts in every])
    self._read = 0  # Pairs since the last look at pages.
    self._others = mapped_bytes()  # What the process maps beside.
    self._rows = functools.lru_cache(maxsize=4)(self._rows_at)
    add = lambda name: np.sum([facts[name] for facts in every], axis=0)
    self.counts, self.heavy = add("counts"), add("heavy")
    self.heaviest = max(facts["heaviest"] for facts in every)
    self.unlabelled = int(add("unlabelled"))
    self.longest = int(self._longest.max())
    self.scores = tuple(said["scores"].get(split, ())) or None
    self.sample = Lengths(
      lambda indices: self._at(indices)["length"],
      pairs=len(self),
      total=int(add("tokens")),
      squares=sum(facts["squares"] for facts in every),
      longest=self.longest,
    )
    names = [os.path.basename(shard.path) for shard in self._shards]
    self._checksum = said["checksums"].get(split) if names == whole else None

  def __len__(self) -> int:
    return int(self._ends[-1])

  @property
  def labels(self) -> Column:
    """A class or a score for each pair."""
    return Column(lambda indices: self._at(indices)["label"])

  @property
  def ids(self) -> Column:
    """The place of each pair in the split that was encoded, int64."""
    return Column(lambda indices: self._at(indices)["id"])

  def weights(self, of_classes: np.ndarray | None = None) -> Column:
    """What pairs weigh, float32: their own weights, times those of classes."""

    def read(indices: np.ndarray) -> np.ndarray:
      rows = self._at(indices)
      if of_classes is None:
        return rows["weight"]
      weights = rows["weight"].astype(np.float64) * of_classes[rows["label"]]
      return weights.astype(np.float32)

    return Column(read)

  def digest(self) -> int:
    """32 bits of all pairs: those of `PairSource.digest`, of whole splits."""
    if self._checksum is not None:
      return self._checksum
    files = [shard.facts["files"] for shard in self._shards]
    return digest_of(np.array(repr(files)))

  def verify(self) -> int:
    """Reads every byte; returns how many there are.

    Raises:
      UserError: where one is not as it was encoded.
    """
    for shard in self._shards:
      with store_files.damage_named(shard.path):
        store_files.check_digests(shard.path, shard.facts)
    return sum(len(each) for shard in self._shards for each in shard.maps)

  def lengths_at(self, indices: np.ndarray) -> np.ndarray:
    """Returns the tokens of some pairs, int64 [n]; see that none has changed.

    Raises:
      UserError: where a shard of them is not what it was.
    """
    for number in np.unique(self._shards_of(indices)):
      self._shards[number].check_unchanged()
    return self._at(indices)["length"]

  def pick(self, indices: np.ndarray) -> EncodedPairs:
    """Returns some pairs.

    Raises:
      UserError: where one of them is what no encoding writes.
    """
    rows = self._at(indices)
    lengths = rows["length"]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.empty(starts[-1], np.int32)
    places = (rows["shard"], starts[:-1], rows["start"], lengths)
    for shard, ours, start, length in zip(
      *(each.tolist() for each in places), strict=True
    ):
      tokens = self._shards[shard].tokens
      ids[ours : ours + length] = tokens[start : start + length]
      self._unmap(1)
    bad = (ids < 0) | (ids >= self._vocabulary)
    if bad.any():
      pair = np.searchsorted(starts, bad.argmax(), side="right") - 1
      raise self._strange(rows["shard"][pair], "a token of no vocabulary")
    return EncodedPairs(ids, starts, rows["first"], truncated=0)

  def _at(self, indices: np.ndarray) -> np.ndarray:
    """Returns the rows of some pairs; those of a batch are read once."""
    return self._rows(np.asarray(indices, np.int64).tobytes())

  def _rows_at(self, indices_as_bytes: bytes) -> np.ndarray:
    indices = np.frombuffer(indices_as_bytes, np.int64)
    rows = np.zeros(len(indices), self._row)
    rows["weight"], rows["shard"] = 1, self._shards_of(indices)
    order = np.argsort(rows["shard"], kind="stable")
    begins = np.flatnonzero(np.diff(rows["shard"][order], prepend=-1))
    for chosen in np.split(order, begins[1:]) if len(order) else ():
      shard = self._shards[rows["shard"][chosen[0]]]
      inside = indices[chosen] - shard.first
      rows["id"][chosen] = shard.facts["place"] + inside
      found = shard.pairs[inside]
      for name in found.dtype.names or ():
        rows[name][chosen] = found[name]
      self._unmap(len(chosen))
    self._check(rows)
    rows.flags.writeable = False  # Others get them too.
    return rows

  def _shards_of(self, indices: np.ndarray) -> np.ndarray:
    return np.searchsorted(self._ends, indices, side="right")

  def _check(self, rows: np.ndarray) -> None:
    """Believes no row: what it says is an address."""
    length, first, label = rows["length"], rows["first"], rows["label"]
    good = (first > 0) & (first <= length) & (rows["start"] >= 0)
    good &= length <= self._longest[rows["shard"]]
    good &= rows["start"] <= self._tokens[rows["shard"]] - length
    if self._classes:
      good &= (label >= -1) & (label < self._classes)
    else:
      good &= ~np.isinf(label)
    good &= (rows["weight"] >= 0) & np.isfinite(rows["weight"])
    if not good.all():
      number = rows["shard"][good.argmin()]
      raise self._strange(number, "a row that no encoding writes")

  def _strange(self, number: int, what: str) -> UserError:
    return UserError(
      f"{self._shards[number].path} is damaged ({what}): remove it, and give "
      "the launch.encode command again."
    )

  def _unmap(self, pairs: int) -> None:
    """Gives pages back to the kernel, which keeps them while it can."""
    self._read += pairs
    if self._read < _LOOK:
      return
    self._read = 0
    if mapped_bytes() > self._others + _MAPPED:
      for shard in self._shards:
        for each in shard.maps:
          each.madvise(mmap.MADV_DONTNEED)
      self._others = mapped_bytes()

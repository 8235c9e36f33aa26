"""Copies on disk are told by some bits of a digest, and by reading them."""

import numpy as np
import pytest

from tasks.data import copies
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.data.tables import pairs_of
from tests.tasks.data.tables_test import table_of, write


def table(path, numbers):
  rows = [(f"one {i}", f"two {i}", "no") for i in numbers]
  return table_of(write(path, rows))


def in_memory(path, numbers):
  return pairs_of(table(path, numbers).rows(), None).digests


def on_disk(path, numbers):
  return PairsOnDisk(table(path, numbers))


KINDS = pytest.mark.parametrize(
  ("ours", "theirs"),
  [
    (in_memory, in_memory),
    (in_memory, on_disk),
    (on_disk, in_memory),
    (on_disk, on_disk),
  ],
)


@KINDS
@pytest.mark.parametrize("bits", [2, 24])
def test_copies_are_counted_however_few_bits_are_known(
  tmp_path, ours, theirs, bits
):
  few = ours(tmp_path / "dev.tsv", [*range(20, 30), 3, 3, 77])
  many = theirs(tmp_path / "train.tsv", [*range(25), *range(5)])
  for pairs in (few, many):
    if isinstance(pairs, PairsOnDisk):
      pairs.bits = bits
  assert copies.count(few, many) == (7, True)


@KINDS
def test_splits_without_copies_have_none(tmp_path, ours, theirs):
  few = ours(tmp_path / "dev.tsv", range(9))
  many = theirs(tmp_path / "train.tsv", range(9, 40))
  assert copies.count(few, many) == (0, True)


def test_more_than_can_be_read_are_counted_in_part(tmp_path, monkeypatch):
  monkeypatch.setattr(copies, "_MOST", 4)
  few = on_disk(tmp_path / "dev.tsv", range(20))
  many = on_disk(tmp_path / "train.tsv", range(20))
  assert copies.count(few, many) == (4, False)


def test_many_are_not_sorted(tmp_path, monkeypatch):
  sorted_, real = [], np.unique
  monkeypatch.setattr(np, "unique", lambda x: sorted_.append(len(x)) or real(x))
  rng = np.random.default_rng(0)
  many = rng.integers(2**40, size=10_000).astype(np.uint64)
  assert copies.count(many[:7], many) == (7, True)
  assert max(sorted_) < 100

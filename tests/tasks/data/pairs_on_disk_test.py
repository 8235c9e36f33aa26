"""Pairs that stay on disk: the same pairs, batches and training."""

import dataclasses
import pathlib

import numpy as np
import pytest

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.data import datasets, pairs_on_disk
from tasks.data.pairs import digest_of_texts
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.sentence_pair import SentencePairTask
from tasks.tokens import on_demand
from tasks.tokens.on_demand import EncodedOnDemand
from tests.tasks.data.tables_test import table_of, write

WORDS = "the old man sat on a mat while nobody saw him go".split()  # noqa: SIM905


def make_rows(seed, count=60):
  draw = np.random.default_rng(seed)
  text = lambda: " ".join(draw.choice(WORDS, draw.integers(1, 12)))
  return [(text(), text(), ("no", "yes")[i % 2]) for i in range(count)]


@pytest.fixture(params=["x.tsv", "x.csv", "x.jsonl"])
def config(request, tmp_path):
  """Pairs in two files; each is large."""
  files = []
  for i in range(2):
    folder = tmp_path / str(i)
    folder.mkdir()
    files.append(str(write(folder / request.param, make_rows(i))))
  dev = write(tmp_path / request.param, make_rows(0)[:7] + make_rows(9, 20))
  return SentencePairConfig(
    name="pairs",
    train_file=",".join(files),
    eval_file=str(dev),
    encoder="tiny",
    max_seq_length=32,
  )


def left_on_disk(monkeypatch, **values):
  monkeypatch.setattr(pairs_on_disk, "LARGE", 0)
  for name, value in values.items():
    monkeypatch.setattr(on_demand, name, value)


def batches_of(source, size=8):
  indices = np.random.default_rng(0).permutation(len(source))
  for start in range(0, len(source), size):
    some = indices[start : start + size]
    layout = source.layout(some, batch_size=size, shares=2)
    yield layout, source.batch(some, layout)


def test_batches_are_those_of_pairs_in_memory(config, monkeypatch):
  sources = [SentencePairTask(config).source("train")]
  left_on_disk(monkeypatch, _KEPT=20)
  sources.append(SentencePairTask(config).source("train"))
  assert isinstance(sources[1].encoded, EncodedOnDemand)
  for _ in range(2):  # What is kept is not all: it is read again.
    for one, other in zip(*map(batches_of, sources), strict=True):
      kept = lambda layout: dataclasses.replace(layout, places=None)
      assert kept(one[0]) == kept(other[0])
      assert one[1].keys() == other[1].keys()
      for name, array in one[1].items():
        assert np.array_equal(array, other[1][name]), name
  some = np.array([100, 3])
  assert sources[0].ids(some) == sources[1].ids(some)
  assert sources[0].sizes(some).tolist() == sources[1].sizes(some).tolist()


def test_a_sample_stands_for_all_lengths(config, monkeypatch):
  whole = SentencePairTask(config).source("train")
  left_on_disk(monkeypatch, _SAMPLE=40)
  source = SentencePairTask(config).source("train")
  assert 20 < len(source.encoded.sample) <= 40
  assert source.encoded.longest == 32  # Any pair fits, seen or not.
  for (laid, batch), (expected, other) in zip(
    batches_of(source), batches_of(whole), strict=True
  ):
    assert laid.units == expected.units
    found, wanted = (
      [x["labels"][x["examples"] == i].tolist() for i in range(120)]
      for x in (batch, other)
    )
    assert found == wanted


def test_a_digest_is_the_same_in_each_process():
  # CRC-32 of "a" and of "b".
  assert digest_of_texts("a", "b") == 0xE8B7BE43 << 32 | 0x71BEEFF9


def test_a_file_that_changes_is_seen(config, monkeypatch):
  left_on_disk(monkeypatch)
  one, other = (SentencePairTask(config).source("train") for _ in range(2))
  assert one.digest() == other.digest()
  path = pathlib.Path(config.train_file.split(",")[0])
  path.write_text(path.read_text().replace("man", "cat"))
  datasets.pairs_and_classes.cache_clear()  # As in another process.
  assert SentencePairTask(config).source("train").digest() != one.digest()
  monkeypatch.setattr(one.encoded, "_kept", {})
  with pytest.raises(UserError, match="has changed while it was in use"):
    one.encoded.pick(np.arange(60))


@pytest.mark.parametrize("large", [False, True])
def test_copies_of_training_pairs_are_counted(
  config, monkeypatch, caplog, large
):
  if large:
    left_on_disk(monkeypatch)
  test = write(
    pathlib.Path(config.eval_file).with_stem("test"), make_rows(1)[:5]
  )
  task = SentencePairTask(dataclasses.replace(config, test_file=str(test)))
  for split in ("train", "dev"):
    source = task.source(split)
  assert "7 of the 27 pairs of 'dev' are in 'train' too" in caplog.text
  # It is not evaluated now, but it will be.
  assert caplog.text.count("5 of the 5 pairs of 'test' are in 'train' too") == 1
  task.source("test")
  assert caplog.text.count("pairs of 'test' are in 'train' too") == 1
  assert source.describe(np.array([2])) == [" | ".join(make_rows(0)[2][:2])]


def test_bad_rows_and_labels_are_named(config, monkeypatch, caplog):
  left_on_disk(monkeypatch)
  path = pathlib.Path(config.train_file.split(",")[1])
  lines = path.read_text().splitlines()
  lines.insert(5, "{")
  path.write_text("\n".join(lines))
  with pytest.raises(UserError, match=r"1/x\.\w+, line 6: "):
    SentencePairTask(config)
  skips = dataclasses.replace(config, skip_bad_lines=True)
  assert len(SentencePairTask(skips).source("train")) == 120
  row = 65 if path.suffix == ".jsonl" else 64
  assert f"left out 1 of 121 rows, numbered from 0: 1 bad (row {row};" in (
    caplog.text
  )
  named = dataclasses.replace(skips, classes=("no", "maybe"))
  with pytest.raises(UserError, match=r"line \d: the label 'yes' is none of"):
    SentencePairTask(named).source("train")
  scores = dataclasses.replace(skips, kind="regression")
  with pytest.raises(UserError, match="'no' is no number"):
    SentencePairTask(scores).source("train")


def test_files_that_can_not_be_read_anywhere_are_not_left_on_disk(
  tmp_path, monkeypatch
):
  left_on_disk(monkeypatch)
  assert pairs_on_disk.is_large(table_of(write(tmp_path / "x.tsv")))
  assert not pairs_on_disk.is_large(table_of(write(tmp_path / "x.tsv.gz")))


def test_weights_and_scores_are_read_in_the_same_pass(tmp_path):
  rows = [("a", f"b {i}", str(i / 2), str(i)) for i in range(5)]
  names = ("sentence1", "sentence2", "label", "w")
  table = table_of(write(tmp_path / "x.tsv", rows, names), weight="w")
  pairs = PairsOnDisk(table, lambda label, place: float(label))
  assert pairs.labels.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
  assert pairs.weights.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
  assert pairs.read([4, 0]).texts_b == ("b 4", "b 0")

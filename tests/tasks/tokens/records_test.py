"""Pairs in TFRecord files: the tutorial's features, and the same training."""

import dataclasses
import gzip
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from engine.errors import UserError
from launch.jobs.encoding import Plan
from tasks.config import SentencePairConfig
from tasks.data import record_files
from tasks.data.datasets import answers_of, read_split
from tasks.sentence_pair import SentencePairTask
from tasks.tokens import shards
from tasks.tokens.records import read_records
from tests.support.testing import tiny_task

CONFIG = SentencePairConfig(encoder="tiny")


def encode(directory, config=CONFIG, *, size=300, splits=("train", "dev")):
  """Encodes the demo corpus as `launch.encode` does, in this process."""
  plan = Plan.make(config, splits, size=size, directory=str(directory))
  plan.claim(str(directory))
  for shard in plan.shards:
    if not shards.is_written(shard):
      shards.write(shard)
  plan.finish(str(directory))
  return plan


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
  directory = tmp_path_factory.mktemp("records")
  encode(directory)
  return directory


def from_files(directory, pattern="train-*", **settings):
  return tiny_task(train_file=f"{directory}/{pattern}", **settings)


def test_records_have_the_features_of_the_tutorial(encoded):
  task = tiny_task()
  source, first = (
    task.source("train"),
    next(
      iter(
        tf.data.TFRecordDataset(sorted(encoded.glob("train-*"))[0].as_posix())
      )
    ),
  )
  feature = tf.train.Example.FromString(first.numpy()).features.feature
  found = {name: list(x.int64_list.value) for name, x in feature.items()}
  dense = {k: v[0].tolist() for k, v in source.encoded.dense(128).items()}
  assert found == {
    "input_ids": dense["input_word_ids"],
    "input_mask": dense["input_mask"],
    "segment_ids": dense["input_type_ids"],
    "label_ids": [int(source._labels[0])],
    "is_real_example": [1],
    "example_id": source.ids([0]),
  }
  meta = json.loads((encoded / "meta_data").read_text())
  assert meta["train_data_size"] == len(source)
  assert meta["eval_data_size"] == len(task.source("dev"))
  assert meta["max_seq_length"] == 128
  assert meta["classes"] == ["different", "paraphrase"]
  assert meta["tokenizer"] == task.tokenizer.facts()


@pytest.mark.parametrize("split", ["train", "dev"])
def test_what_is_read_is_what_was_encoded(encoded, split):
  pattern = f"{encoded}/{split}-*"
  setting = "train_file" if split == "train" else "eval_file"
  source = tiny_task(**{setting: pattern}).source(split)
  assert source.digest() == tiny_task().source(split).digest()


def test_files_do_not_depend_on_who_writes_them_and_when(tmp_path, encoded):
  plan = Plan.make(CONFIG, ["train"], size=300, directory=str(tmp_path))
  for shard in reversed(plan.shards):
    shards.write(shard)
  for shard in plan.shards:
    name = os.path.basename(shard.path)
    assert (tmp_path / name).read_bytes() == (encoded / name).read_bytes()


def test_texts_in_files_become_the_same_records(tmp_path, encoded):
  """A named set, and its pairs in a table, are one encoding but for ids."""
  pairs = read_split(CONFIG, "train", answers_of(CONFIG))
  classes = answers_of(CONFIG).classes
  lines = ["text_a\ttext_b\tlabel"] + [
    f"{a}\t{b}\t{classes[label]}"
    for a, b, label in zip(
      pairs.texts_a, pairs.texts_b, pairs.labels, strict=True
    )
  ]
  (tmp_path / "t.tsv").write_text("\n".join(lines))
  config = SentencePairConfig(
    name="pairs", encoder="tiny", train_file=f"{tmp_path}/t.tsv"
  )
  encode(tmp_path / "out", config, splits=["train"], size=123)
  ours = SentencePairTask(
    dataclasses.replace(config, train_file=f"{tmp_path}/out/train-*")
  )
  assert ours.classes == tuple(classes)
  found, named = ours.source("train"), tiny_task().source("train")
  assert found.digest() == SentencePairTask(config).source("train").digest()
  for name in ("ids", "starts", "first"):
    one, other = (getattr(x.encoded, name) for x in (found, named))
    assert np.array_equal(one, other)


def test_packed_records_are_read(tmp_path, encoded):
  for path in encoded.iterdir():
    packed = path.name.startswith("train")
    name, content = path.name + ".gz" * packed, path.read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
  config = dataclasses.replace(CONFIG, train_file=f"{tmp_path}/train-*.gz")
  found = SentencePairTask(config).source("train")
  assert found.digest() == from_files(encoded).source("train").digest()
  victim = next(tmp_path.glob("train-*"))
  victim.write_bytes(victim.read_bytes()[:-20])
  with pytest.raises(UserError, match="are damaged"):
    SentencePairTask(config).source("train")


def test_an_encoding_goes_on_where_it_was(tmp_path, encoded):
  plan = Plan.make(CONFIG, ["train"], size=300, directory=str(tmp_path))
  plan.claim(str(tmp_path))
  shards.write(plan.shards[1])
  before = os.stat(plan.shards[1].path)
  name = os.path.basename(plan.shards[0].path)
  (tmp_path / f".{name}.7.7.part").write_bytes(b"half")
  with pytest.raises(UserError, match="not whole, run launch.encode"):
    from_files(tmp_path).source("train")
  encode(tmp_path, splits=["train"])
  after = os.stat(plan.shards[1].path)
  assert (before.st_ino, before.st_mtime_ns) == (
    after.st_ino,
    after.st_mtime_ns,
  )
  assert not list(tmp_path.glob("*.part*"))
  source = from_files(tmp_path).source("train")
  assert source.digest() == tiny_task().source("train").digest()


@pytest.mark.parametrize(
  "other",
  [
    {"max_seq_length": 64},
    {"casing": "keep"},
    {"data_dir": "elsewhere"},
  ],
)
def test_a_directory_keeps_to_one_encoding(tmp_path, encoded, other):
  from tasks.data.datasets import __file__ as here

  if "data_dir" in other:  # The same corpus without its last pair.
    corpus = os.path.join(os.path.dirname(here), "pairs.tsv")
    with open(corpus) as file:
      lines = file.read().splitlines()
    (tmp_path / "pairs.tsv").write_text("\n".join(lines[:-1]))
    other = {"data_dir": str(tmp_path)}
  plan = Plan.make(
    dataclasses.replace(CONFIG, **other),
    ["train", "dev"],
    size=300,
    directory=str(encoded),
  )
  with pytest.raises(UserError, match="another encoding, which differs in"):
    plan.claim(str(encoded))


def copy(encoded, directory):
  for path in encoded.iterdir():
    (directory / path.name).write_bytes(path.read_bytes())
  return sorted(directory.glob("train-*"))


def flipped(path):
  raw = bytearray(path.read_bytes())
  raw[len(raw) // 2] ^= 1
  path.write_bytes(raw)


def cut_between_records(path):
  rows = [x.numpy() for x in tf.data.TFRecordDataset(str(path))]
  record_files.write_records(str(path), rows[:-1])


def cut_in_a_record(path):
  path.write_bytes(path.read_bytes()[:-5])


def emptied(path):
  path.write_bytes(b"")


def foreign(path):
  record_files.write_records(str(path), [b"no example"])


@pytest.mark.parametrize(
  "damage", [flipped, cut_between_records, cut_in_a_record, emptied, foreign]
)
def test_a_damaged_shard_is_named_or_passed_over(tmp_path, encoded, damage):
  _, second, *_ = copy(encoded, tmp_path)
  lost = record_files.count_records(str(second))
  damage(second)
  with pytest.raises(UserError, match=f"{second.name} are damaged"):
    from_files(tmp_path).source("train")
  source = from_files(tmp_path, on_damaged_shard="skip").source("train")
  whole = tiny_task().source("train")
  assert len(source) == len(whole) - lost
  kept = [*range(300), *range(600, len(whole))]
  assert source.ids(range(len(source))) == whole.ids(kept)
  plan = Plan.make(CONFIG, ["train", "dev"], size=300, directory=str(tmp_path))
  with pytest.raises(UserError, match=f"{second.name} is damaged.*remove it"):
    plan.finish(str(tmp_path))


def numbers(name, place, value):
  """An edit of one number of a record."""

  def edit(feature):
    feature[name].int64_list.value[place] = value

  return edit


def weighs(weight):
  return lambda feature: feature["weight"].float_list.value.append(weight)


def without_a_mask(feature):
  del feature["input_mask"].int64_list.value[:]
  feature["input_mask"].int64_list.value.extend([0] * 128)


def with_segments_turned(feature):
  values = feature["segment_ids"].int64_list.value
  values[:] = [1 - x for x in values]


@pytest.mark.parametrize(
  ("name", "edit"),
  [
    ("input_ids", numbers("input_ids", 1, 2**32 + 5)),
    ("input_ids", numbers("input_ids", 1, -3)),
    ("input_ids", numbers("input_ids", 1, 10**6)),
    ("input_mask", numbers("input_mask", 2, 0)),
    ("input_mask", numbers("input_mask", 2, 2)),
    ("input_mask", without_a_mask),
    ("segment_ids", with_segments_turned),
    ("segment_ids", numbers("segment_ids", 2, 2**63 - 1)),
    ("label_ids", numbers("label_ids", 0, 2**32)),
    ("example_id", numbers("example_id", 0, -2)),
    ("weight", weighs(-1.0)),
    ("weight", weighs(float("nan"))),
    ("weight", weighs(float("inf"))),
  ],
)
def test_what_no_encoding_writes_is_damage(tmp_path, encoded, name, edit):
  path = str(tmp_path / "train-0.tfrecord")
  rows = [
    x.numpy()
    for x in tf.data.TFRecordDataset(str(next(encoded.glob("train-*"))))
  ][:9]
  example = tf.train.Example.FromString(rows[7])
  edit(example.features.feature)
  rows[7] = example.SerializeToString()
  record_files.write_records(path, rows)
  with pytest.raises(UserError, match=rf"damaged \(`{name}` of record 7 is"):
    read_records([path], length=128, vocabulary=30522, facts={})


def test_a_shard_that_is_missing_or_another_is_damage(tmp_path, encoded):
  first, second, *_ = copy(encoded, tmp_path)
  rows = [x.numpy() for x in tf.data.TFRecordDataset(str(second))]
  record_files.write_records(str(second), [*rows[1:], rows[0]])
  with pytest.raises(UserError, match=f"{second.name}.*its SHA-256 is another"):
    from_files(tmp_path).source("train")
  second.unlink()
  with pytest.raises(UserError, match=f"{second.name} .*it is missing"):
    from_files(tmp_path).source("train")
  from_files(tmp_path, on_damaged_shard="skip").source("train")
  # An encoding of an older version knew no digests.
  meta = json.loads((encoded / "meta_data").read_text())
  del meta["sha256"]
  (tmp_path / "meta_data").write_text(json.dumps(meta))
  record_files.write_records(str(second), [*rows[1:], rows[0]])
  from_files(tmp_path).source("train")


@pytest.mark.parametrize(
  ("said", "complaint"),
  [
    ({"classes": 5}, "`classes` is no list"),
    ({"classes": [["a"], ["b"]]}, r"`classes\[0\]` is list"),
    ({"classes": [1, 2]}, r"`classes\[0\]` is int"),
    ({"classes": ["a", "a"]}, "`classes` is"),
    ({"classes": ["a", ""]}, "the class '' is empty"),
    ({"classes": ["a", " b"]}, "the class ' b' has outer spaces"),
    ({"classes": ["a\tb", "c"]}, r"the class 'a\\tb' has a tab"),
    ({"classes": ["a", "\x1b[2J"]}, "has a control character"),
    ({"records": ["a"]}, "`records` is no mapping"),
    ({"records": {"a": -1}}, "`records` is"),
    ({"max_seq_length": True}, "`max_seq_length` is bool"),
    ({"max_seq_length": 10**30}, "more than 64 bits"),
    ("[" * 100_000, "recursion"),
    ("[1]", "it is no mapping"),
    ("null", "it is no mapping"),
  ],
)
def test_meta_data_is_looked_at(tmp_path, said, complaint):
  if isinstance(said, dict):
    said = json.dumps({"max_seq_length": 128, **said})
  (tmp_path / "meta_data").write_text(said)
  with pytest.raises(UserError, match=f"damaged .*{complaint}"):
    record_files.read_meta([str(tmp_path / "train-0.tfrecord")])


@pytest.mark.parametrize("content", ["{", "5", "[" * 100_000, ""])
def test_a_damaged_plan_of_an_encoding_is_named(tmp_path, content):
  (tmp_path / "encoding.json").write_text(content)
  with pytest.raises(
    UserError, match="encoding.json is damaged .*name another"
  ):
    Plan([], {"classes": []}).claim(str(tmp_path))


def test_records_of_something_else_are_refused(tmp_path, encoded):
  with pytest.raises(UserError, match="rows of 128 tokens.*is 64"):
    from_files(encoded, max_seq_length=64).source("train")
  with pytest.raises(UserError, match="another tokenizer .*set --casing"):
    from_files(encoded, casing="keep").source("train")
  copy(encoded, tmp_path)
  meta = json.loads((tmp_path / "meta_data").read_text())

  def refused(complaint, **other):
    (tmp_path / "meta_data").write_text(json.dumps({**meta, **other}))
    with pytest.raises(UserError, match=complaint):
      from_files(tmp_path).source("train")

  refused("rows of 64 tokens, but `max_seq_length` is 128", max_seq_length=64)
  refused("another vocabulary", vocabulary="0" * 64)
  refused("another tokenizer .*'x': 1", tokenizer={"x": 1})
  refused("classes .*yes", classes=["yes", "no"])
  (tmp_path / "meta_data").write_text("{")
  with pytest.raises(UserError, match="meta_data is damaged"):
    from_files(tmp_path).source("train")


def test_records_that_model_garden_wrote_are_read(tmp_path):
  """Its `meta_data` knows neither classes nor files."""
  from official.nlp.data import classifier_data_lib
  from official.nlp.tools import tokenization

  from tasks.encoders import find as encoders

  pairs = read_split(CONFIG, "dev", answers_of(CONFIG))
  examples = [
    classifier_data_lib.InputExample(
      guid=str(i), text_a=a, text_b=b, label=str(label)
    )
    for i, (a, b, label) in enumerate(
      zip(pairs.texts_a, pairs.texts_b, pairs.labels, strict=True)
    )
  ]
  classifier_data_lib.file_based_convert_examples_to_features(
    examples,
    ["0", "1"],
    128,
    tokenization.FullTokenizer(encoders.find("tiny").tokenizer.source, True),
    str(tmp_path / "dev-1.tfrecord"),
  )
  meta = {"max_seq_length": 128, "eval_data_size": len(examples)}
  (tmp_path / "meta_data").write_text(json.dumps(meta))
  source = tiny_task(eval_file=f"{tmp_path}/dev-1.tfrecord").source("dev")
  ours = tiny_task().source("dev")
  for name in ("ids", "starts", "first"):
    one, other = (getattr(x.encoded, name) for x in (source, ours))
    assert np.array_equal(one, other)


def test_training_needs_labels(tmp_path):
  (tmp_path / "t.tsv").write_text("text_a\ttext_b\nx\ty\nz\tw\n")
  config = dataclasses.replace(CONFIG, test_file=f"{tmp_path}/t.tsv")
  encode(tmp_path / "out", config, splits=["test"])
  with pytest.raises(UserError, match="pairs without a label"):
    from_files(tmp_path / "out", "test-*").source("train")
  with pytest.raises(UserError, match="has no labels"):
    SentencePairTask(config).source("test")

"""A store: the same training as from records, and whatever is wrong with it."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from engine.errors import UserError
from engine.loop.batches import Batches
from engine.loop.order import Order
from launch.jobs.encoding import Plan
from launch.pages.views import views
from tasks.config import SentencePairConfig
from tasks.data import store_files
from tasks.sentence_pair import SentencePairTask
from tasks.tokens import mapped_shard, shards, store
from tests.support.testing import tiny_config, tiny_task

CONFIG = SentencePairConfig(encoder="tiny")
SHARDS = ["train-00000-of-00004.arrays", "train-00001-of-00004.arrays"]


def encode(
  directory, config=CONFIG, *, form="arrays", size=300, splits=("train", "dev")
):
  """Encodes as `launch.encode` does, in this process."""
  plan = Plan.make(
    config, splits, size=size, directory=str(directory), form=form
  )
  plan.claim(str(directory))
  for shard in plan.shards:
    if not shards.is_written(shard):
      shards.write(shard)
  plan.finish(str(directory))
  return plan


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
  directory = tmp_path_factory.mktemp("store")
  encode(directory)
  return directory


@pytest.fixture
def copied(tmp_path, encoded):
  return shutil.copytree(encoded, tmp_path / "store")


def train_from(directory, **settings):
  task = tiny_task(train_file=f"{directory}/train-*", **settings)
  return task.source("train")


def batches(source, steps=4, size=32):
  order = Order(
    num_examples=len(source),
    batch_size=size,
    num_positions=steps * size,
    seed=3,
  )
  made = Batches(
    source=source, order=order, batch_size=size, replicas=4, own=range(1, 3)
  )
  return [made(step) for step in range(steps)]


def assert_the_same(one, other):
  assert len(one) == len(other)
  assert one.digest() == other.digest()
  for a, b in zip(batches(one), batches(other), strict=True):
    assert a.layout.shape == b.layout.shape
    assert a.total == b.total
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
      assert array.dtype == b.arrays[name].dtype
      assert np.array_equal(array, b.arrays[name])
  every = np.arange(len(one))
  assert one.ids(every) == other.ids(every)


@pytest.mark.parametrize("place", ["{}/train-*", "{}"])
def test_training_from_a_store_is_the_same_training(encoded, place):
  found = tiny_task(train_file=place.format(encoded)).source("train")
  assert_the_same(found, tiny_task().source("train"))
  dev = tiny_task(eval_file=f"{encoded}/dev-*").source("dev")
  assert_the_same(dev, tiny_task().source("dev"))


@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_weights_gaps_and_scores_are_those_of_records(tmp_path, kind):
  rng = np.random.default_rng(0)
  lines = ["text_a\ttext_b\tlabel\tw"]
  for i in range(90):
    label = "-" if i % 7 == 3 else str(i % 2 if kind == "classes" else i / 7)
    weight = 1.0 if i < 40 else rng.integers(0, 4) / 3
    lines.append(f"one {i}\ttwo {i * i}\t{label}\t{weight}")
  (tmp_path / "t.tsv").write_text("\n".join(lines))
  more = {"class_weights": ("balanced",)} if kind == "classes" else {}
  config = SentencePairConfig(
    name="pairs",
    encoder="tiny",
    kind=kind,
    weight="w",
    unlabelled="-",
    train_file=f"{tmp_path}/t.tsv",
  )
  tasks = {}
  for form in ("tfrecord", "arrays"):
    out = tmp_path / form
    encode(out, config, form=form, size=25, splits=["train"])
    tasks[form] = SentencePairTask(
      dataclasses.replace(config, train_file=f"{out}/train-*")
    )
  ours, theirs = (
    tasks[form].source("train") for form in ("arrays", "tfrecord")
  )
  assert_the_same(ours, theirs)
  assert tasks["arrays"]._splits.scores == tasks["tfrecord"]._splits.scores
  if more:
    ours, theirs = (
      SentencePairTask(dataclasses.replace(tasks[form].config, **more)).source(
        "train"
      )
      for form in ("arrays", "tfrecord")
    )
    for a, b in zip(batches(ours), batches(theirs), strict=True):
      assert a.total == b.total
      assert np.array_equal(a.arrays["weights"], b.arrays["weights"])
    plain = tasks["arrays"].source("train")
    assert ours.digest() != plain.digest()


def test_lengths_are_summed_as_those_in_memory_are(encoded):
  ours = train_from(encoded).encoded.sample
  theirs = tiny_task().source("train").encoded.sample
  assert (len(ours), ours.mean(), ours.max()) == (
    len(theirs),
    theirs.mean(),
    theirs.max(),
  )
  assert ours.std() == pytest.approx(theirs.std(), rel=1e-14)


def test_an_encoding_goes_on_where_it_was(tmp_path, encoded):
  config = CONFIG
  plan = Plan.make(
    config, ["train"], size=300, directory=str(tmp_path), form="arrays"
  )
  plan.claim(str(tmp_path))
  shards.write(plan.shards[1])
  left = tmp_path / f".{SHARDS[0]}.{2**22 + 1}.7.part"  # No process is that.
  left.mkdir()
  (left / "tokens.npy").write_bytes(b"half")
  before = os.stat(plan.shards[1].path)
  with pytest.raises(UserError, match="not whole, run launch.encode"):
    train_from(tmp_path)
  encode(tmp_path, splits=["train"])
  assert os.stat(plan.shards[1].path) == before
  assert not list(tmp_path.glob("*.part"))
  for name in SHARDS:
    for file in ("tokens.npy", "pairs.npy", "facts.json"):
      one, other = (x / name / file for x in (tmp_path, encoded))
      assert one.read_bytes() == other.read_bytes()
  with pytest.raises(UserError, match="another encoding, which differs in"):
    encode(tmp_path, form="tfrecord", splits=["train"])


def cut_off(shard):
  path = shard / "tokens.npy"
  os.truncate(path, path.stat().st_size - 5)


def emptied(shard):
  os.truncate(shard / "pairs.npy", 0)


def with_another_header(shard):
  path = shard / "pairs.npy"
  path.write_bytes(path.read_bytes().replace(b"'first'", b"'tsrif'"))


def without_a_file(shard):
  (shard / "tokens.npy").unlink()


def of_another_encoding(shard):
  path = shard / "facts.json"
  facts = json.loads(path.read_text())
  facts["files"]["tokens.npy"]["sha256"] = "0" * 64
  path.write_text(json.dumps(facts))


@pytest.mark.parametrize(
  "damage",
  [
    *(cut_off, emptied, with_another_header, without_a_file, shutil.rmtree),
    of_another_encoding,
  ],
)
def test_a_damaged_shard_is_named_or_passed_over(copied, damage):
  damage(copied / SHARDS[1])
  with pytest.raises(UserError, match=f"{SHARDS[1]} is damaged.*remove it"):
    train_from(copied)
  source = train_from(copied, on_damaged_shard="skip")
  whole = tiny_task().source("train")
  kept = [*range(300), *range(600, len(whole))]
  assert source.ids(np.arange(len(source))) == whole.ids(kept)
  assert source.digest() != whole.digest()
  with pytest.raises(UserError, match=SHARDS[1]):
    Plan.make(
      CONFIG, ["train", "dev"], size=300, directory=str(copied), form="arrays"
    ).finish(str(copied))


def test_a_picture_of_a_store_says_that_all_of_it_is_as_encoded(encoded):
  told = views(tiny_config(train_file=str(encoded)), "train", str(encoded))
  size = sum(os.path.getsize(path) for path in encoded.glob("train-*/*.npy"))
  assert next(told) == ("store", f"{size:,} bytes are as they were encoded")


def test_a_flipped_bit_is_found_by_whoever_reads_every_byte(copied):
  path = copied / SHARDS[1] / "tokens.npy"
  raw = bytearray(path.read_bytes())
  raw[-3] ^= 1
  path.write_bytes(raw)
  assert train_from(copied)  # Opening reads no token.
  told = views(tiny_config(train_file=str(copied)), "train", str(copied))
  with pytest.raises(UserError, match="SHA-256 of tokens.npy is another"):
    next(told)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("start", 2**60),
    ("start", -1),
    ("length", 0),
    ("length", 2**16 - 1),
    ("first", 0),
    ("first", 2**16 - 1),
    ("label", 2),
    ("label", -2),
    ("token", 2**16 - 1),
  ],
)
def test_what_no_encoding_writes_is_not_believed(copied, field, value):
  shard = copied / SHARDS[0]
  name = "tokens.npy" if field == "token" else "pairs.npy"
  array = np.load(shard / name, mmap_mode="r+")
  (array if field == "token" else array[field])[7] = value
  array.flush()
  source = train_from(copied)
  with pytest.raises(UserError, match=f"{SHARDS[0]} is damaged"):
    source.encoded.pick(np.arange(20))


def shortened(path):
  os.truncate(path, path.stat().st_size - 1)


def written_to(path):
  status = path.stat()
  with open(path, "r+b") as file:
    file.seek(200)
    file.write(b"xyz")
  os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def replaced(path):
  content = path.read_bytes()
  path.unlink()
  path.write_bytes(content)


def grown(path):
  with open(path, "ab") as file:
    file.write(b"xyz")


def removed(path):
  shutil.rmtree(path.parent)


@pytest.mark.parametrize(
  "change", [shortened, grown, written_to, replaced, removed]
)
def test_a_store_that_changes_while_in_use_ends_the_run(copied, change):
  source = train_from(copied)
  batches(source)
  change(copied / SHARDS[1] / "tokens.npy")
  with pytest.raises(UserError, match=f"{SHARDS[1]} has changed since"):
    batches(source)


def edited(copied, **other):
  path = copied / "meta_data"
  path.write_text(json.dumps({**json.loads(path.read_text()), **other}))


def test_a_store_of_something_else_is_refused(copied):
  with pytest.raises(UserError, match="rows of 128 tokens.*is 64"):
    train_from(copied, max_seq_length=64)
  edited(copied, vocabulary="0" * 64)
  with pytest.raises(UserError, match="another vocabulary"):
    train_from(copied)


@pytest.mark.parametrize(
  ("name", "value", "complaint"),
  [
    ("format", 2, "has the format 2 of a newer version.*encode again"),
    ("format", None, "is damaged"),
    ("counts", [1], "its counts are not"),
    ("pairs", 7, "its counts are not"),
    ("squares", 0, "its counts are not"),
    ("files", {}, "its files are"),
    ("types", {"tokens.npy": "|O", "pairs.npy": []}, "its tokens are"),
    ("types", {"tokens.npy": "<u2", "pairs.npy": [["x"]]}, "its pairs have"),
  ],
)
def test_what_is_said_of_a_shard_is_looked_at(copied, name, value, complaint):
  meta = json.loads((copied / "meta_data").read_text())
  meta["arrays"]["shards"][SHARDS[0]][name] = value
  edited(copied, **meta)
  with pytest.raises(UserError, match=complaint):
    train_from(copied)


def test_a_shard_of_a_newer_version_is_refused(copied):
  path = copied / SHARDS[0] / "facts.json"
  path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
  with pytest.raises(UserError, match="has the format 2 of a newer version"):
    train_from(copied)


@pytest.mark.parametrize("said", [None, 5, {}, {"shards": {}}])
def test_meta_data_of_no_store_is_said(copied, said):
  edited(copied, arrays=said)
  with pytest.raises(UserError, match="is of no store"):
    train_from(copied)


def test_a_shard_beside_others_is_refused(copied):
  both = f"{copied}/{SHARDS[0]},{copied}/meta_data"
  with pytest.raises(UserError, match="is a shard of a store, .* is not"):
    tiny_task(train_file=both).source("train")
  with pytest.raises(UserError, match="is not on a file system"):
    store_files.are_stores(["gs://bucket/train-0.arrays"])
  (copied / "train-9.arrays").mkdir()
  with pytest.raises(UserError, match="train-9.arrays is not named"):
    train_from(copied)


def test_training_needs_labels(tmp_path):
  (tmp_path / "t.tsv").write_text("text_a\ttext_b\nx\ty\nz\tw\n")
  config = dataclasses.replace(CONFIG, test_file=f"{tmp_path}/t.tsv")
  encode(tmp_path / "out", config, splits=["test"])
  with pytest.raises(UserError, match="2 of 2 pairs of 'train' have no label"):
    tiny_task(train_file=f"{tmp_path}/out/test-*").source("train")


def test_nothing_is_kept_of_a_pair(encoded):
  source = train_from(encoded)
  for holder in (source, source.encoded):
    for name, value in vars(holder).items():
      if isinstance(value, list | dict | np.ndarray):
        assert len(value) <= 4, name  # Shards.


def mapped(directory):
  """Bytes of files in a directory that this process has mapped pages of."""
  found, ours = 0, False
  with open("/proc/self/smaps") as file:
    for line in file:
      if "-" in line.split(" ")[0]:
        ours = str(directory) in line
      elif ours and line.startswith("Rss:"):
        found += int(line.split()[1]) * 1024
  return found


def test_pages_are_given_back(copied, monkeypatch):
  monkeypatch.setattr(store, "_LOOK", 1)
  source = train_from(copied)
  source.encoded.pick(np.arange(len(source)))
  assert mapped(copied) > 0
  monkeypatch.setattr(store, "_MAPPED", -(2**62))
  source.encoded.pick(np.arange(len(source)))
  assert mapped(copied) == 0


def test_a_limit_of_open_files_is_raised_or_said(encoded, monkeypatch):
  limits, system = [(4, 1000)], mapped_shard.resource
  monkeypatch.setattr(system, "getrlimit", lambda which: limits[-1])
  monkeypatch.setattr(system, "setrlimit", lambda which, x: limits.append(x))
  train_from(encoded)
  assert limits[-1] == (mapped_shard._SPARE + 8, 1000)
  limits.append((4, 5))
  with pytest.raises(UserError, match="`ulimit -Hn` allows 5"):
    train_from(encoded)

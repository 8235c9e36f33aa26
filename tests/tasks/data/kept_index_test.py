"""One pass over large files ever; an index that does not fit is made anew."""

import json
import os
import pathlib
import re

import numpy as np
import pytest
import safetensors.numpy

from engine.errors import UserError
from tasks.data import kept_index, row_index
from tasks.data.pairs_on_disk import PairsOnDisk
from tests.tasks.data.tables_test import table_of, write

NAMES = ("sentence1", "sentence2", "label", "w")


def rows(count=45, label=lambda i: ("no", "yes")[i % 3 == 0]):
  return [(f"one {i}", f"two, {i}", label(i), str(i / 4)) for i in range(count)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  folder = tmp_path / "cache"
  monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
  return folder / "apsis" / "rows"


@pytest.fixture(params=["x.tsv", "x.csv", "x.jsonl"])
def table(request, tmp_path):
  """Two files; a block of eight pairs begins in one and ends in the other."""
  for i in range(2):
    (tmp_path / str(i)).mkdir()
    write(tmp_path / str(i) / request.param, rows()[45 * i // 2 :], NAMES)
  pattern = ",".join(str(tmp_path / str(i) / request.param) for i in range(2))
  return table_of(pattern, weight="w")


def number(label, place):
  return {"no": 0, "yes": 1}[label]


def facts_of(pairs):
  every = np.arange(len(pairs))
  return {
    "ids": list(pairs.ids),
    "labels": None if pairs.labels is None else pairs.labels.tolist(),
    "weights": None if pairs.weights is None else pairs.weights.tolist(),
    "texts": [pairs.texts(i) for i in every],
    "sentences": [x.tolist() for x in pairs.sentences],
    "digest": pairs.digest,
    "left": pairs.left,
  }


def index_in(cache):
  """The file of rows; that of sentences lies beside it."""
  rows, sentences = sorted(cache.iterdir(), key=lambda x: len(x.name))
  assert str(sentences) == kept_index.beside(str(rows))
  return rows


def passes(monkeypatch):
  """Counts how often all rows are read."""
  made, real = [], row_index.Pass.index
  monkeypatch.setattr(
    row_index.Pass, "index", lambda *args: made.append(1) or real(*args)
  )
  return made


def test_a_second_start_reads_no_row_and_finds_the_same(
  table, cache, monkeypatch, caplog
):
  first = facts_of(PairsOnDisk(table, number))
  kept = index_in(cache)
  assert f"later starts find its rows by {kept}" in caplog.text
  monkeypatch.setattr(row_index.Pass, "index", pytest.fail)
  assert facts_of(PairsOnDisk(table, number)) == first
  in_files = [*rows(), *rows()[22:]]
  assert first["texts"] == [[a, b] for a, b, *_ in in_files]
  assert first["labels"] == [number(x[2], "") for x in in_files]
  assert first["weights"] == [float(x[3]) for x in in_files]


def bytes_of_columns(path):
  return sum(x.nbytes for x in safetensors.numpy.load_file(path).values())


@pytest.mark.parametrize("scores", [False, True])
def test_a_pair_takes_at_most_eight_bytes(tmp_path, cache, scores):
  label = lambda i: str(i % 99 / 7) if scores else ("no", "yes")[i % 2]
  path = write(tmp_path / "x.tsv", rows(4000, label), NAMES)
  answer = (lambda x, place: float(x)) if scores else number
  pairs = PairsOnDisk(table_of(path, weight="w"), answer, scores=scores)
  kept = index_in(cache)
  assert bytes_of_columns(kept) <= 4000 * 8
  assert pairs.labels.tolist() == [answer(label(i), "") for i in range(4000)]
  assert pairs.weights.tolist() == [i / 4 for i in range(4000)]


def test_scores_that_all_differ_are_kept_as_float32(
  tmp_path, cache, monkeypatch
):
  monkeypatch.setattr(row_index, "_FEW", 100)
  label = lambda i: str(1 + i / 7)
  path = write(tmp_path / "x.tsv", rows(900, label), NAMES)
  found = [
    PairsOnDisk(table_of(path), lambda x, place: float(x), scores=True)
    for _ in range(2)
  ]
  expected = np.float32([label(i) for i in range(900)]).astype(float).tolist()
  for pairs in found:
    assert pairs.labels.tolist() == expected
  kept = index_in(cache)
  assert bytes_of_columns(kept) <= 904 * 8


def test_labels_are_held_against_what_they_mean_now(table):
  PairsOnDisk(table, number)

  def none(label, place):
    raise UserError(f"{place}: {label}")

  with pytest.raises(UserError, match=r"line \d: yes$"):
    PairsOnDisk(table, none)


def test_scores_are_held_against_their_limits_now(tmp_path):
  path = write(tmp_path / "x.tsv", rows(9, str), NAMES)
  PairsOnDisk(table_of(path), lambda x, place: float(x), scores=True)

  def limited(label, place):
    if float(label) > 5:
      raise UserError(f"{place}: {label}")
    return float(label)

  with pytest.raises(UserError, match=r"x.tsv: 8.0"):
    PairsOnDisk(table_of(path), limited, scores=True)


def test_rows_left_out_stay_left_out(tmp_path, monkeypatch):
  path = write(tmp_path / "x.tsv", rows(30), NAMES)
  lines = path.read_text().splitlines()
  lines.insert(4, "bad")
  lines.insert(20, "a\tb\t-\t1")
  lines.insert(27, "worse")
  path.write_text("\n".join(lines))
  table = table_of(path, skips=True, unlabelled="-")
  first = PairsOnDisk(table, number)
  made = passes(monkeypatch)
  again = PairsOnDisk(table, number)
  assert not made
  assert facts_of(again) == facts_of(first)
  assert again.left.bad.keys() == {3, 26} and again.left.unlabelled == [19]
  assert "line 5" in again.unread[3]
  assert again.read([17, 2, 24]).ids == [18, 2, 27]
  assert table.left.rows == 0  # Reading keeps nothing.


def resized(path):
  with open(path, "a") as file:
    file.write("one\ttwo\tno\t1\n")


def edited(path):
  """Changes a label, and has the file look as it was."""
  status = path.stat()
  path.write_text(path.read_text().replace("\tno\t", "\tzz\t", 1))
  os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
  assert path.stat().st_size == status.st_size


def replaced(path):
  status = path.stat()
  other = path.with_suffix(".new")
  other.write_text(path.read_text().replace("one 3\t", "one 4\t"))
  os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
  os.replace(other, path)


@pytest.mark.parametrize("change", [resized, edited, replaced, os.utime])
def test_a_file_that_has_changed_is_read_anew(
  tmp_path, monkeypatch, caplog, change
):
  path = write(tmp_path / "x.tsv", rows(), NAMES)
  named = lambda label, place: {"no": 0, "yes": 1, "zz": 2}[label]
  PairsOnDisk(table_of(path), named)
  change(path)
  made = passes(monkeypatch)
  pairs = PairsOnDisk(table_of(path), named)
  assert len(made) == 1
  assert "not of use: its files have changed" in caplog.text
  in_memory = [x.split("\t") for x in path.read_text().splitlines()[1:]]
  assert pairs.labels.tolist() == [named(x[2], "") for x in in_memory]
  PairsOnDisk(table_of(path), named)
  assert len(made) == 1


def cut(path):
  os.truncate(path, path.stat().st_size - 5)


def emptied(path):
  path.write_bytes(b"")


def flipped(path):
  raw = bytearray(path.read_bytes())
  raw[-9] ^= 1
  path.write_bytes(raw)


def of_something_else(path):
  safetensors.numpy.save_file({"x": np.zeros(3, np.float64)}, path)


def a_directory(path):
  path.unlink()
  path.mkdir()


def rewritten(**changes):
  def change(path):
    columns = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, framework="numpy") as file:
      facts = json.loads(file.metadata()["facts"])
    facts |= changes
    facts.pop("checksum")
    facts["checksum"] = kept_index._checksum(facts, columns)
    safetensors.numpy.save_file(columns, path, {"facts": json.dumps(facts)})

  return change


@pytest.mark.parametrize(
  ("damage", "why"),
  [
    (cut, "file not fully covered"),
    (emptied, "header too small"),
    (flipped, "its checksum is another"),
    (of_something_else, "it is no mapping"),
    (a_directory, "is no regular file"),
    (rewritten(format=2), "has the format 2 of a newer version"),
    (rewritten(format="x"), "`format` is str"),
    (rewritten(of="another file"), "is of other files or settings"),
    (rewritten(files=[[1, 2, 3, 4, 5]]), "its files have changed"),
  ],
)
def test_an_index_that_does_not_fit_is_made_anew_and_said(
  tmp_path, cache, monkeypatch, caplog, damage, why
):
  table = table_of(write(tmp_path / "x.tsv", rows(), NAMES))
  first = facts_of(PairsOnDisk(table, number))
  kept = index_in(cache)
  damage(kept)
  made = passes(monkeypatch)
  assert facts_of(PairsOnDisk(table, number)) == first
  assert len(made) == 1
  assert re.search(f"not of use: .*{re.escape(why)}", caplog.text)
  if damage is not a_directory:
    PairsOnDisk(table, number)
    assert len(made) == 1


@pytest.mark.parametrize("damage", [cut, flipped, of_something_else])
def test_digests_of_sentences_that_do_not_fit_are_made_anew_and_said(
  tmp_path, cache, monkeypatch, caplog, damage
):
  table = table_of(write(tmp_path / "x.tsv", rows(), NAMES))
  first = facts_of(PairsOnDisk(table, number))
  damage(pathlib.Path(kept_index.beside(str(index_in(cache)))))
  made = passes(monkeypatch)
  assert facts_of(PairsOnDisk(table, number)) == first
  assert len(made) == 1
  assert "not of use: " in caplog.text


def test_an_index_of_another_file_is_not_taken(tmp_path, cache, caplog):
  one = table_of(write(tmp_path / "x.tsv", rows(), NAMES))
  other = table_of(write(tmp_path / "y.tsv", rows(40), NAMES))
  expected = facts_of(PairsOnDisk(one, number))
  PairsOnDisk(other, number)
  paths = [kept_index.path_of(x, "names") for x in (one, other)]
  both = {x for path in paths for x in (path, kept_index.beside(path))}
  assert {*map(str, cache.iterdir())} == both
  os.replace(paths[1], paths[0])
  assert facts_of(PairsOnDisk(one, number)) == expected
  assert "is of other files or settings" in caplog.text


def test_a_file_that_cannot_be_read_is_said_in_one_line(tmp_path):
  path = write(tmp_path / "x.tsv", rows(), NAMES)
  table = table_of(path)
  path.unlink()
  with pytest.raises(UserError, match=r"x.tsv cannot be read: "):
    PairsOnDisk(table, number)


def test_each_way_to_read_a_file_has_an_index_of_its_own(tmp_path, cache):
  path = write(tmp_path / "x.tsv", rows(), NAMES)
  ways = [
    table_of(path),
    table_of(path, text_a="sentence2", text_b="sentence1"),
    table_of(path, weight="w"),
    table_of(path, skips=True),
    table_of(path, quoting="on"),
    table_of(f"{path},{path}"),
  ]
  for table in ways:
    PairsOnDisk(table, number)
  PairsOnDisk(ways[0])
  assert len([*cache.iterdir()]) == 2 * 7


def test_a_cache_that_cannot_be_written_stops_nothing(
  tmp_path, monkeypatch, caplog
):
  table = table_of(write(tmp_path / "x.tsv", rows(), NAMES))
  (tmp_path / "file").touch()
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
  for _ in range(2):
    assert len(PairsOnDisk(table, number)) == 45
  assert "could not be kept (Not a directory)" in caplog.text


def test_files_that_change_while_they_are_read_have_no_index(
  tmp_path, cache, monkeypatch, caplog
):
  path = write(tmp_path / "x.tsv", rows(), NAMES)

  def changing(label, place):
    if place.endswith("line 3"):
      resized(path)
    return number(label, place)

  PairsOnDisk(table_of(path), changing)
  assert "has changed while its rows were read" in caplog.text
  assert not cache.exists()


def test_what_is_looked_at_of_a_file_is_all_of_a_small_one(tmp_path):
  path = pathlib.Path(tmp_path / "x")
  path.write_bytes(bytes(5000))
  seen = {kept_index._state(str(path))[-1]}
  for i in range(0, 5000, 500):
    raw = bytearray(5000)
    raw[i] = 1
    path.write_bytes(raw)
    seen.add(kept_index._state(str(path))[-1])
  assert len(seen) == 11


def test_columns_are_mapped_not_read(table):
  PairsOnDisk(table, number)
  index = kept_index.read(table, "names")
  for name in ("starts", "digests", "labels"):
    assert not index.columns[name].flags.owndata, name
    assert not index.columns[name].flags.writeable, name

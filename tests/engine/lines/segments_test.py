"""A log on a store grows by what is new, and is read as one."""

import os

import pytest
import tensorflow as tf

from engine.files import write_atomically
from engine.lines import segments
from engine.lines.line_file import LineFile
from engine.lines.reading import read_counted, read_jsonl

COUNT = 40


@pytest.fixture
def store(request, monkeypatch):
  """A log of `ram://`, which stands for `gs://`, with small segments."""
  monkeypatch.setattr(segments, "_FULL", 50)
  path = f"ram://{request.node.name}/run/log.jsonl"
  tf.io.gfile.makedirs(os.path.dirname(path))
  return path


def line(number):
  return {"step": number}


def numbers(path):
  return [x["step"] for x in read_jsonl(path)]


def parts(path):
  return [path, *segments.paths(path).values()]


def sizes(path):
  return [tf.io.gfile.stat(part).length for part in parts(path)]


def test_an_append_writes_what_is_new(store, monkeypatch):
  file = LineFile(store, [line(0), line(1)])
  written = []
  write = segments.write_atomically

  def noted(path, text):
    written.append(len(text))
    write(path, text)

  monkeypatch.setattr(segments, "write_atomically", noted)
  for number in range(2, COUNT):
    file.append(line(number))
    assert numbers(store) == list(range(number + 1))
  file.sync()
  file.close()
  assert len(parts(store)) > 5
  assert max(written) < 50 + 2 * len('{"step": 10}\n')
  assert len(tf.io.gfile.listdir(os.path.dirname(store))) == len(parts(store))


def test_a_start_joins_them(store):
  file = LineFile(store, [])
  for number in range(COUNT):
    file.append(line(number))
  kept = read_jsonl(store)[: COUNT - 7]
  again = LineFile(store, kept)
  assert parts(store) == [store]
  assert again.cover() != file.cover()
  again.append(line(COUNT - 7))
  assert numbers(store) == list(range(COUNT - 6))


def test_segments_that_a_killed_start_left_are_not_read_twice(
  store, monkeypatch
):
  file = LineFile(store, [])
  for number in range(COUNT):
    file.append(line(number))
  with monkeypatch.context() as patch:
    patch.setattr(segments, "remove", lambda path: None)
    LineFile(store, read_jsonl(store))
  assert len(parts(store)) > 5
  assert numbers(store) == list(range(COUNT))


def test_a_segment_that_is_gone_costs_its_own_lines(store):
  file = LineFile(store, [])
  for number in range(COUNT):
    file.append(line(number))
  begin, end = list(segments.paths(store))[2:4]
  tf.io.gfile.remove(segments.paths(store)[begin])
  lines, lost = read_counted(store, {"step": int}, [file.cover()])
  assert lost == end - begin
  assert [x["step"] for x in lines] == [*range(begin), *range(end, COUNT)]


def test_a_damaged_segment_is_set_aside(store):
  file = LineFile(store, [line(0)])
  file.append(line(1))
  (segment,) = segments.paths(store).values()
  write_atomically(segment, "#\n")
  assert read_counted(store, set_aside=True) == ([line(0)], 1)
  assert tf.io.gfile.exists(f"{segment}.damaged")
  assert parts(store) == [store, segment]


def test_what_the_store_did_not_take_waits(store, monkeypatch):
  file = LineFile(store, [line(0)])

  def fails(path, text):
    raise tf.errors.UnavailableError(None, None, "later")

  with monkeypatch.context() as patch:
    patch.setattr(segments, "write_atomically", fails)
    for number in range(1, 9):
      file.append(line(number))
    with pytest.raises(OSError, match="waits for room"):
      file.sync()
  assert numbers(store) == [0]
  file.append(line(9))
  file.sync()
  assert numbers(store) == list(range(10))


def test_a_run_that_was_copied_from_a_store_is_read_and_joined(tmp_path):
  path = tmp_path / "log.jsonl"
  path.write_text('{"step": 0}\n')
  (tmp_path / "log.jsonl.000000000001").write_text('{"step": 1}\n')
  (tmp_path / "log.jsonl.1").write_text("not ours\n")
  assert numbers(str(path)) == [0, 1]
  LineFile(str(path), read_jsonl(str(path)))
  assert sorted(os.listdir(tmp_path)) == ["log.jsonl", "log.jsonl.1"]

"""A reader gives what it was asked for, or one kind of error."""

import importlib.util
import io
import json
import os

import numpy as np
import pytest

from engine import formats
from engine.errors import CannotBeRead, Damaged, Missing, Unreadable
from engine.formats import (
  NUMBER,
  misfit,
  read_arrays,
  read_bytes,
  read_json,
  read_lines,
  read_yaml,
  tell_once,
)

# Twenty lines that stand for a million values.
BOMB = "x0: &x0 [1]\n" + "".join(
  f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 20)
)
CONTENTS = [  # Of JSON and YAML alike: neither may take them as a mapping.
  b"",
  b"5",
  b"null",
  b"- a",
  b'{"a":',
  b"\xff",
  b"a: b: c",
  b'{"a": "\\ud800"}',
  b'{"a": ' + b"7" * 5000 + b"}",
  b'{"a": ' + b"9" * 19 + b"}",
  b"[" * 100_000,
  b'{"a": ' * 5000 + b"1" + b"}" * 5000,
]


def file_of(tmp_path, content):
  path = tmp_path / "file"
  path.write_bytes(content)
  return str(path)


@pytest.mark.parametrize("read", [read_json, read_yaml])
@pytest.mark.parametrize("content", CONTENTS, ids=lambda x: repr(x[:12]))
def test_what_is_no_mapping_is_damaged(tmp_path, read, content):
  path = file_of(tmp_path, content)
  with pytest.raises(Damaged, match="bring it back from a copy") as damage:
    read(path, dict)
  assert damage.value.path == path
  assert len(str(damage.value)) <= len(path) + 200


@pytest.mark.parametrize(
  "content",
  [
    BOMB.encode(),
    b"a: 2020-99-99",
    b"a: 2020-01-01",
    b"1: 2",
    b"!!int '': 1",
    b"a: !x",
  ],
)
def test_oddities_of_yaml_are_damage(tmp_path, content):
  with pytest.raises(Damaged):
    read_yaml(file_of(tmp_path, content))


def test_a_reader_waits_for_no_device_and_no_pipe(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "zero").symlink_to("/dev/zero")
  for name in ("pipe", "zero", "."):
    for read in (read_bytes, read_json, read_yaml, read_lines):
      with pytest.raises(Damaged, match="is no regular file"):
        read(str(tmp_path / name))


def test_what_is_not_there_is_told_from_what_cannot_be_read(
  tmp_path, monkeypatch
):
  path = file_of(tmp_path, b"{}")
  with pytest.raises(Missing):
    read_json(path + "x")
  with pytest.raises(CannotBeRead, match="Not a directory"):
    read_json(path + "/x")

  def fails(path):
    raise OSError(5, "Input/output error")

  monkeypatch.setattr(os, "stat", fails)
  with pytest.raises(CannotBeRead, match="Input/output error"):
    read_json(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
  path = file_of(tmp_path, b"[" + b" " * 100 + b"]")
  assert read_json(path, list, limit=102) == []
  with pytest.raises(Damaged, match="more than 101 bytes"):
    read_json(path, list, limit=101)


def test_a_damaged_line_stops_no_other(tmp_path):
  rows = [b'{"n": 0}', b'#"n": 1}', b"[]", b"\xff", b'{"m": 4}', b'{"n": 5}']
  lines = read_lines(file_of(tmp_path, b"\n".join(rows) + b"\n"), {"n": int})
  assert lines == ([{"n": 0}, {"n": 5}], [2, 3, 4, 5])
  assert read_lines(file_of(tmp_path, b"\xff[[")) == ([], [1])
  # What a killed process left is no damage.
  lines = read_lines(file_of(tmp_path, b'{"n": 0}\n{"n'), {"n": int})
  assert lines == ([{"n": 0}], [])


def test_a_line_without_an_end_takes_no_memory_without_an_end(tmp_path):
  path = file_of(tmp_path, b"x" * 2**21 + b'\n{"n": 1}\n')
  assert read_lines(path, limit=100) == ([{"n": 1}], [1])


@pytest.mark.parametrize("chunk", range(1, 9))
def test_lines_are_what_they_are_however_they_are_read(
  tmp_path, monkeypatch, chunk
):
  monkeypatch.setattr(formats, "_CHUNK", chunk)
  content = b'{"n": 1}\r\n\n{"n":\r2}\n[' + b"x" * 99 + b']\n{"n": 3}\n{"n"'
  lines = read_lines(file_of(tmp_path, content), {"n": int}, limit=10)
  assert lines == ([{"n": n} for n in (1, 2, 3)], [2, 4])


def test_a_long_line_is_read_once(tmp_path, monkeypatch):
  """Not again with each piece that is read: that took minutes for 300 MB."""
  pieces = []

  class Counted(bytearray):
    def __iadd__(self, piece):
      pieces.append(len(piece))
      return super().__iadd__(piece)

  monkeypatch.setattr(formats, "bytearray", Counted, raising=False)
  monkeypatch.setattr(formats, "_CHUNK", 10)
  read_lines(file_of(tmp_path, b"x" * 1000), limit=100)
  assert sum(pieces) == 100


def test_a_shape_says_what_is_wrong_and_where():
  shape = {"files": {str: {"size": int}}, "ids": [NUMBER], "more?": str}
  right = {"files": {"a": {"size": 1}}, "ids": [1, 2.5], "others": None}
  assert not misfit(right, shape)
  for name, value, wrong in [
    ("files", {"a": {"size": "1"}}, "`files.a.size` is str"),
    ("files", {"a": {}}, "`files.a.size` is missing"),
    ("files", [], "`files` is no mapping"),
    ("ids", [1, True], "`ids[1]` is bool"),
    ("ids", {}, "`ids` is no list"),
    ("more", None, "`more` is NoneType"),
  ]:
    assert misfit({**right, name: value}, shape) == wrong
  assert misfit({"on": True}, {"on": bool}) == ""
  assert misfit([], {"a": int}) == "it is no mapping"


def test_arrays_come_back_and_others_are_damage(tmp_path):
  content = io.BytesIO()
  np.savez_compressed(content, step=np.array(3), labels=np.arange(4))
  whole = content.getvalue()
  path = file_of(tmp_path, whole)
  arrays = read_arrays(path, {"step": 0, "labels": 1})
  assert arrays["labels"].tolist() == [0, 1, 2, 3]
  with pytest.raises(Damaged, match="`losses` must be an array of 1"):
    read_arrays(path, {"losses": 1})
  objects = io.BytesIO()
  np.savez(objects, labels=np.array([{}]))
  for bad in (
    b"",
    b"PK",
    whole[:-30],
    whole[:60] + b"\0" * 60,
    objects.getvalue(),
  ):
    with pytest.raises(Damaged):
      read_arrays(file_of(tmp_path, bad), {"labels": 1})
  with pytest.raises(Damaged, match="more than 100 bytes"):
    read_arrays(file_of(tmp_path, whole), {}, limit=100)


@pytest.mark.skipif(
  importlib.util.find_spec("hypothesis") is None,
  reason="hypothesis (extra [test]) is not installed",
)
def test_whatever_the_bytes_a_reader_gives_its_shape_or_one_error(tmp_path):
  from hypothesis import given
  from hypothesis import settings as limits
  from hypothesis import strategies as st

  content = io.BytesIO()
  np.savez(content, a=np.arange(3))
  seeds = [
    b'{"a": 1, "b": {"c": [1.5, "x"]}}\n{"a": 2}\n',
    b"a: 1\nb:\n  c: [1.5, x]\n",
    content.getvalue(),
  ]

  @limits(max_examples=200, deadline=None, database=None)
  @given(
    st.sampled_from(seeds),
    st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=3)), max_size=3),
    st.integers(0, 400),
  )
  def holds(seed, edits, end):
    for at, new in edits:
      seed = seed[:at] + new + seed[at + len(new) :]
    path = file_of(tmp_path, seed[:end])
    for read, shape in (
      (read_json, {"a": int}),
      (read_yaml, {"a": int}),
      (read_lines, {"a": int}),
      (read_arrays, {"a": 1}),
    ):
      try:
        value = read(path, shape)
      except Unreadable:
        continue
      if read is read_lines:
        assert all(type(line["a"]) is int for line in value.values)
      elif read is read_arrays:
        assert value["a"].ndim == 1
      else:
        assert type(value["a"]) is int
        json.dumps(value)

  holds()


def test_what_is_wrong_is_told_once_of_each_state_of_each_file(
  tmp_path, caplog
):
  paths = [str(tmp_path / name) for name in ("a", "b", "none")]
  for path in paths[:2]:
    open(path, "w").close()
  for count in (1, 2):
    for path in paths * 2:
      tell_once(path, "it is damaged")
    assert caplog.text.count("it is damaged") == 2 * count + 1
    for path in paths[:2]:
      os.utime(path, (0, 0))

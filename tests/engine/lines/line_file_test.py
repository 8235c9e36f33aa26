"""Lines wait for room, and none is lost or halved."""

import contextlib
import os
import resource
import threading
from pathlib import Path

import pytest

from engine.errors import CannotBeRead
from engine.lines.line_file import LineFile
from engine.lines.reading import read_counted, read_jsonl


@contextlib.contextmanager
def full_beyond(size):
  """No file of this process grows beyond some bytes."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_finds_no_room_is_written_when_there_is_some(tmp_path):
  path = str(tmp_path / "lines.jsonl")
  file = LineFile(path, [{"n": 0}])
  with full_beyond(os.path.getsize(path) + 3):
    file.append({"n": 1})  # Half of it may be there.
    file.append({"n": 2})
    with pytest.raises(OSError, match="waits for room"):
      file.sync()
  file.append({"n": 3})
  file.sync()
  file.close()
  assert [line["n"] for line in read_jsonl(path)] == [0, 1, 2, 3]
  assert os.listdir(tmp_path) == ["lines.jsonl"]


def test_a_line_that_is_being_written_waits_for_no_room(tmp_path, monkeypatch):
  """A checkpoint is committed by a thread beside, at any time."""
  path = str(tmp_path / "lines.jsonl")
  file = LineFile(path, [])
  found = []

  def syncs():
    try:
      file.sync()
    except OSError as error:
      found.append(error)

  beside = threading.Thread(target=syncs)
  write = file._file.write

  def while_it_syncs(lines, *, again):
    beside.start()
    beside.join(0.1)  # It would have failed by now.
    write(lines, again=again)

  monkeypatch.setattr(file._file, "write", while_it_syncs)
  file.append({"n": 0})
  beside.join()
  assert not found
  assert read_jsonl(path) == [{"n": 0}]


def test_a_file_that_is_not_there_has_no_lines(tmp_path):
  assert read_jsonl(str(tmp_path / "none")) == []


def test_damaged_lines_are_counted_and_the_file_is_set_aside(tmp_path, caplog):
  path = tmp_path / "lines.jsonl"
  content = b'{"step": 1}\n#\n[]\n{"step": "2"}\n{"step": 3}\n'
  path.write_bytes(content)
  lines, lost = read_counted(str(path), {"step": int}, set_aside=True)
  assert (lines, lost) == ([{"step": 1}, {"step": 3}], 3)
  assert "3 of 5 lines are damaged and left out (line 2, 3, 4)" in caplog.text
  assert (tmp_path / "lines.jsonl.damaged").read_bytes() == content


def test_what_was_set_aside_before_is_kept(tmp_path, caplog):
  path, kept = tmp_path / "log.jsonl", tmp_path / "log.jsonl.damaged"
  contents = [f'#{number}\n{{"step": 1}}\n'.encode() for number in range(3)]
  (tmp_path / "log.jsonl.damaged.2").symlink_to("nowhere")  # Nobody's.
  for content in contents:
    path.write_bytes(content)
    for _ in range(2):  # A start may be killed before it writes the log.
      read_counted(str(path), {"step": int}, set_aside=True)
  names = ("", ".3", ".4")
  assert [Path(f"{kept}{x}").read_bytes() for x in names] == contents
  assert len(os.listdir(tmp_path)) == 5
  assert f"log.jsonl as it was is {kept}.4." in caplog.text


def test_a_file_that_cannot_be_read_now_is_not_empty(tmp_path, monkeypatch):
  path = tmp_path / "lines.jsonl"
  path.write_bytes(b"{}\n")

  def fails(path):
    raise OSError(5, "Input/output error")

  monkeypatch.setattr(os, "stat", fails)
  with pytest.raises(CannotBeRead, match="Input/output error"):
    read_jsonl(str(path))


def test_a_log_that_somebody_removed_holds_no_checkpoint_up(tmp_path):
  file = LineFile(str(tmp_path / "log.jsonl"), [])
  file.append({"a": 1})
  os.remove(file.path)
  file.sync()

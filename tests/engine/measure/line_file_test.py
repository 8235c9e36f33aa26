"""Lines wait for room, and none is lost or halved."""

import contextlib
import os
import resource

import pytest

from engine.measure.line_file import LineFile, read_jsonl


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


def test_a_file_that_is_not_there_has_no_lines(tmp_path):
  assert read_jsonl(str(tmp_path / "none")) == []

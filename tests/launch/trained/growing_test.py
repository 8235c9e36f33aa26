"""An output is whole or not there, and goes on from what is written."""

import io
import json
import os
import pathlib

import pytest

from engine.errors import UserError
from launch.trained.growing import Growing, Progress

OF = {"weights": "a1", "input": [[3, 4]]}


def test_what_was_written_is_kept_and_what_was_half_written_is_not(tmp_path):
  path = str(tmp_path / "x.csv")
  with Growing(path, OF) as part:
    part.add(["id,label", "1,no"], 1, ["id", "label"])
  with open(path + ".part", "a") as file:
    file.write("2,y")  # Killed here.
  with Growing(path, OF) as part:
    assert (part.rows, part.columns) == (1, ["id", "label"])
    part.add(["2,yes"], 1, part.columns)
    assert not os.path.exists(path)
    part.finish()
  assert os.listdir(tmp_path) == ["x.csv"]
  with open(path) as file:
    assert file.read() == "id,label\n1,no\n2,yes\n"


def test_what_is_not_ours_is_refused_and_left(tmp_path):
  path = str(tmp_path / "x.csv")
  with Growing(path, OF) as part:
    part.add(["a"], 1, ["a"])

  def refused(of=OF):
    with pytest.raises(UserError) as error, Growing(path, of):
      pass
    return str(error.value)

  assert "was not begun by this run" in refused({**OF, "weights": "b2"})
  with open(path + ".part") as file:
    assert file.read() == "a\n"
  os.truncate(path + ".part", 1)  # Less than it says.
  assert "its .json says something else of it: remove both" in refused()
  os.remove(path + ".part.json")
  assert "was not begun by this run" in refused()
  (tmp_path / "x.csv").touch()
  assert "exists: remove it, or name another" in refused()


@pytest.mark.parametrize(
  "name, value",
  [
    ("rows", 1),
    ("rows", 5096),
    ("rows", -1),
    ("bytes", 0),
    ("bytes", -1),
    ("bytes", True),
    ("columns", ["b", "a"]),
    ("columns", []),
    ("left_out", ["c"]),
    ("read", "other"),
    ("written", ""),
    ("of", {}),
    ("sha256", ""),
  ],
)
def test_a_state_that_was_altered_is_refused(tmp_path, name, value):
  path = str(tmp_path / "x.csv")
  with Growing(path, OF) as part:
    part.add(["a,b", "1,2"], 2, ["a", "b"], read="digest")
  state = json.loads((tmp_path / "x.csv.part.json").read_text())
  (tmp_path / "x.csv.part.json").write_text(json.dumps({**state, name: value}))
  with (
    pytest.raises(UserError, match="gone on with, as its .json .*remove both"),
    Growing(path, OF),
  ):
    pass
  assert (tmp_path / "x.csv.part").read_text() == "a,b\n1,2\n"


def test_a_part_of_which_a_bit_was_flipped_is_refused(tmp_path):
  path = str(tmp_path / "x.csv")
  with Growing(path, OF) as part:
    part.add(["a,b", "1,2"], 2, ["a", "b"])
  (tmp_path / "x.csv.part").write_text("a,b\n1,3\n")
  with (
    pytest.raises(UserError, match="says something else of it"),
    Growing(path, OF),
  ):
    pass
  assert (tmp_path / "x.csv.part").read_text() == "a,b\n1,3\n"


def test_what_was_read_is_kept_for_whoever_goes_on(tmp_path):
  path = str(tmp_path / "x.csv")
  with Growing(path, OF) as part:
    part.add(["a"], 1, ["a"], ["b"], read="digest")
  with Growing(path, OF) as part:
    assert (part.read, part.left_out) == ("digest", ["b"])


def test_one_process_writes_an_output(tmp_path):
  path = str(tmp_path / "x.csv")
  with Growing(path, OF) as part:
    part.add(["a"], 1, ["a"])
    with (
      pytest.raises(UserError, match="written by another process: wait"),
      Growing(path, OF),
    ):
      pass
    part.add(["b"], 1, ["a"])
    late = Growing(path, OF)
    part.finish()
  with pytest.raises(UserError, match="x.csv exists: remove it"), late:
    pass
  assert os.listdir(tmp_path) == ["x.csv"]
  with open(path) as file:
    assert file.read() == "a\nb\n"


def test_what_another_process_wrote_meanwhile_is_gone_on_from(tmp_path):
  path = str(tmp_path / "x.csv")
  late = Growing(path, OF)
  with Growing(path, OF) as part:
    part.add(["a"], 1, ["a"])
  with late as part:
    assert part.rows == 1
    part.add(["b"], 1, ["a"])
    part.finish()
  with open(path) as file:
    assert file.read() == "a\nb\n"


@pytest.mark.parametrize("name", ["x.csv.part", "x.csv.part.json"])
@pytest.mark.parametrize(
  "put",
  [
    lambda path: None,
    pathlib.Path.mkdir,
    os.mkfifo,
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to(path.name),
  ],
)
def test_a_part_that_somebody_replaces_is_told_and_left(tmp_path, name, put):
  path = tmp_path / name
  with (
    pytest.raises(UserError, match="or its .json has been removed while"),
    Growing(str(tmp_path / "x.csv"), OF) as part,
  ):
    path.unlink()
    put(path)
    there = path.lstat() if os.path.lexists(path) else None
    part.add(["a"], 1, ["a"])
  assert there is None or os.path.samestat(path.lstat(), there)


def test_a_part_of_another_process_is_left(tmp_path):
  path = str(tmp_path / "x.csv")
  with (
    pytest.raises(UserError, match="x.csv.part or its .json has been removed"),
    Growing(path, OF) as part,
  ):
    os.remove(f"{path}.part")
    (tmp_path / "x.csv.part").write_text("another's")
    (tmp_path / "x.csv.part.json").write_text("his")
    part.add(["a"], 1, ["a"])
  assert (tmp_path / "x.csv.part").read_text() == "another's"
  assert (tmp_path / "x.csv.part.json").read_text() == "his"


@pytest.mark.parametrize("make", [pathlib.Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_no_part(tmp_path, make):
  make(tmp_path / "x.csv.part")
  with (
    pytest.raises(UserError, match="was not begun by this run"),
    Growing(str(tmp_path / "x.csv"), OF),
  ):
    pass
  assert os.listdir(tmp_path) == ["x.csv.part"]


def test_what_is_refused_at_its_first_row_leaves_nothing(tmp_path):
  with pytest.raises(UserError), Growing(str(tmp_path / "x.csv"), OF):
    raise UserError("no header")
  assert not os.listdir(tmp_path)


def test_a_link_is_not_written_through(tmp_path):
  path = str(tmp_path / "x.csv")
  with Growing(path, OF) as part:
    part.add([], 1, [])
  other = tmp_path / "other"
  other.write_text("precious")
  os.remove(path + ".part")
  os.symlink(other, path + ".part")
  with pytest.raises(UserError, match="was not begun by"), Growing(path, OF):
    pass
  assert other.read_text() == "precious"


def test_progress_says_rate_share_and_time_left():
  now, stream = [100.0], io.StringIO()
  progress = Progress(4000, stream, clock=lambda: now[0])
  now[0] = 109
  progress.tell(100, 500)
  assert not stream.getvalue()  # Nobody has waited long.
  now[0] = 120
  progress.tell(4000, 1000)
  assert stream.getvalue() == "4,000 rows  200 rows/s  25%  1:00 left\n"


def test_progress_after_a_restart_counts_what_is_read_since():
  now, stream = [0.0], io.StringIO()
  progress = Progress(4000, stream, clock=lambda: now[0])
  progress.begin(2000)
  now[0] = 20
  progress.tell(100, 3000)
  assert stream.getvalue() == "100 rows  5 rows/s  75%  0:20 left\n"


def test_progress_of_an_unknown_size_guesses_nothing():
  now, stream = [0.0], io.StringIO()
  progress = Progress(0, stream, clock=lambda: now[0])
  now[0] = 20
  progress.tell(100, 500)
  assert stream.getvalue() == "100 rows  5 rows/s\n"

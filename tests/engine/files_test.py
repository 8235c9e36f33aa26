"""What is written is there whole or not at all."""

import hashlib
import os

import pytest
import tensorflow as tf

from engine.files import (
  DISK_ERRORS,
  parts_in,
  read_json,
  reason_of,
  sha256_of,
  whole,
  write_atomically,
  write_json,
)


@pytest.mark.parametrize("content", ["Größe\n", b"\x00\xff"])
def test_text_and_bytes_take_the_place_of_an_older_file(tmp_path, content):
  path = tmp_path / "run[1].json"
  path.write_text("older and longer than what comes")
  write_atomically(str(path), content)
  written = content.encode() if isinstance(content, str) else content
  assert path.read_bytes() == written
  assert sha256_of(str(path)) == hashlib.sha256(written).hexdigest()
  assert os.listdir(tmp_path) == [path.name]


def test_json_comes_back_and_damage_is_a_value_error(tmp_path):
  path = str(tmp_path / "x.json")
  write_json(path, {"a": [1, None]})
  assert read_json(path) == {"a": [1, None]}
  with open(path, "a") as file:
    file.write("{")
  with pytest.raises(ValueError):
    read_json(path)
  with pytest.raises(tf.errors.NotFoundError):
    read_json(path + "x")


def make_file(part):
  with open(part, "w") as file:
    file.write("half")


def make_directory(part):
  os.makedirs(os.path.join(part, "inner"))
  make_file(os.path.join(part, "inner", "x"))


@pytest.mark.parametrize("make", [make_file, make_directory])
def test_what_fails_half_way_leaves_nothing(tmp_path, make):
  with (
    pytest.raises(KeyboardInterrupt),
    whole(str(tmp_path / "target")) as part,
  ):
    make(part)
    assert parts_in(str(tmp_path)) == [part]
    raise KeyboardInterrupt
  assert not os.listdir(tmp_path)


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
  with pytest.raises(DISK_ERRORS), whole(str(tmp_path / "target")):
    pass


def test_a_directory_appears_whole_and_takes_nobodys_place(tmp_path):
  target = tmp_path / "target"
  with whole(str(target)) as part:
    make_directory(part)
    assert not target.exists()
  assert (target / "inner" / "x").read_text() == "half"
  with pytest.raises(DISK_ERRORS), whole(str(target)) as part:
    os.mkdir(part)
  assert (target / "inner" / "x").read_text() == "half"
  assert os.listdir(tmp_path) == ["target"]


def test_the_reason_of_a_disk_is_in_its_own_words(tmp_path):
  missing = str(tmp_path / "none" / "x")
  for read in (sha256_of, os.listdir):
    with pytest.raises(DISK_ERRORS) as refused:
      read(missing)
    assert reason_of(refused.value) == "No such file or directory"


def test_a_device_stays_a_device(tmp_path):
  path = tmp_path / "output"
  path.symlink_to(os.devnull)
  write_atomically(str(path), "text")
  assert os.path.realpath(path) == os.devnull
  assert os.listdir(tmp_path) == ["output"]


def test_only_what_killed_writers_leave_is_found_as_such(tmp_path):
  for name in ("a.part", ".a.part", ".a.1.part", ".a.1.2.part.x", ".1.2.part"):
    (tmp_path / name).touch()
  (tmp_path / ".a.tfrecord.1.2.part").touch()
  assert parts_in(str(tmp_path)) == [str(tmp_path / ".a.tfrecord.1.2.part")]

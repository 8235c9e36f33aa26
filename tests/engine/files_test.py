"""What is written is there whole or not at all."""

import errno
import hashlib
import os

import pytest

from engine.files import (
  DISK_ERRORS,
  digests_in,
  is_free,
  parts_in,
  reason_of,
  sha256_of,
  sweep_parts,
  whole,
  write_atomically,
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


def test_a_file_that_cannot_be_seen_now_is_not_left_out(tmp_path, monkeypatch):
  for name in "ab":
    (tmp_path / name).write_text(name)
  os.symlink("a", tmp_path / "link")
  assert [*digests_in(str(tmp_path))] == ["a", "b"]

  def unseen(path, see=os.stat, **kwargs):
    if str(path).endswith("/b"):
      raise OSError(errno.EIO, "Input/output error")
    return see(path, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(os, "stat", unseen)
    with pytest.raises(OSError, match="Input/output"):
      digests_in(str(tmp_path))


@pytest.mark.parametrize("named", [True, False])
def test_a_pipe_is_written_to_where_a_user_named_it_alone(tmp_path, named):
  path = str(tmp_path / "pipe")
  os.mkfifo(path)
  reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
  if named:
    write_atomically(path, "content", named=True)
  else:
    with pytest.raises(FileExistsError, match="pipe is no regular file"):
      write_atomically(path, "content")
  assert os.read(reader, 9) == (b"content" if named else b"")
  os.close(reader)
  assert os.listdir(tmp_path) == ["pipe"]
  assert is_free(str(tmp_path / "none")) and not is_free(path)


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
    assert parts_in(str(tmp_path), ["target"]) == [part]
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
  write_atomically(str(path), "text", named=True)
  assert os.path.realpath(path) == os.devnull
  assert os.listdir(tmp_path) == ["output"]


def test_only_what_killed_writers_leave_is_found_as_such(tmp_path):
  others = ("a.part", ".a.part", ".a.1.part", ".a.1.2.part.x", ".1.2.part")
  for name in (*others, ".b.1.2.part", ".a.1.2.part"):
    (tmp_path / name).touch()
  (tmp_path / ".a.3.4.part").symlink_to(tmp_path)
  assert parts_in(str(tmp_path), ["a"]) == [str(tmp_path / ".a.1.2.part")]


def test_what_killed_writers_left_is_swept(tmp_path):
  canary = tmp_path / "canary"
  canary.mkdir()
  make_file(canary / "x")
  dead, alive = 2**22 + 1, os.getpid()  # No system has as many processes.
  for name in (f".a.{dead}.1", f".a.{alive}.1", f".b.{dead}.1", f".a.{dead}.2"):
    make_directory(tmp_path / f"{name}.part")
  make_file(tmp_path / f".a.{dead}.4.part")
  make_file(tmp_path / f".a.{alive}.4.part")
  (tmp_path / f".a.{dead}.2.part" / "link").symlink_to(canary)
  (tmp_path / f".a.{dead}.3.part").symlink_to(canary)
  assert not sweep_parts(str(tmp_path / "a"), idle=60.0)  # Just written.
  gone = sweep_parts(str(tmp_path / "a"))
  assert gone == [str(tmp_path / f".a.{dead}.{x}.part") for x in (1, 4)]
  assert (canary / "x").read_text() == "half"
  assert sorted(os.listdir(tmp_path)) == sorted(
    [f".a.{alive}.1.part", f".a.{alive}.4.part", f".b.{dead}.1.part"]
    + [f".a.{dead}.2.part", f".a.{dead}.3.part", "canary"]
  )


@pytest.mark.parametrize("path", ["", "folder/"])
def test_what_has_no_name_has_no_parts(tmp_path, monkeypatch, path):
  monkeypatch.chdir(tmp_path)
  for name in ("thesis.2026.tex", ".x.y.part", f"..{2**22 + 1}.2.part"):
    for folder in (
      tmp_path,
      tmp_path / "folder",
      tmp_path / "folder" / "a.b.c",
    ):
      folder.mkdir(exist_ok=True)
      make_file(folder / name)
  before = sorted(tmp_path.rglob("*"))
  assert sweep_parts(path) == []
  assert sorted(tmp_path.rglob("*")) == before


def test_names_that_are_not_utf_8_stop_nobody(tmp_path):
  odd = os.fsencode(tmp_path) + b"/a\xffb"
  for folder in (odd, os.path.join(tmp_path, "inner")):
    os.mkdir(folder)
  for name in ("x", ".x.1.2.part", "inner/y"):
    make_file(tmp_path / name)
  with open(odd + b"c", "w"), open(odd + b"/d", "w"):
    pass
  assert parts_in(str(tmp_path), ["x"]) == [str(tmp_path / ".x.1.2.part")]
  found = digests_in(str(tmp_path))
  assert {*found} == {"x", "inner/y", "a\\udcffb", "a\\udcffbc"}
  assert found["x"] == sha256_of(str(tmp_path / "x"))


def test_parts_that_nobody_writes_to_any_more_are_swept(tmp_path):
  """Of a process that is not known here, as one of another machine is not."""
  dead = 2**22 + 1  # No process has it.
  old, new = (tmp_path / f".a.{dead}.{i}.part" for i in (1, 2))
  for part in (old, new):
    part.mkdir()
    (part / "x").write_text("half")
  for path in (old / "x", old, new):
    os.utime(path, (0, 0))
  assert sweep_parts(str(tmp_path / "a"), idle=60.0) == [str(old)]
  assert (new / "x").exists()

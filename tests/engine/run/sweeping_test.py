"""What killed or failing writers left goes, at a start or behind the end."""

import errno
import os
import pathlib

import pytest

from engine.durability import manifest, own
from engine.durability.lock import Lock
from engine.durability.run_directory import RunDirectory
from engine.run.sweeping import sweep, sweep_finished
from tests.engine.durability.checkpoints_test import save

LEFT = (
  ".config.yaml.1.2.part",
  "assets/.classes.json.1.2.part",
  "best/ckpt-6.index.tempstate123",
)


@pytest.fixture
def run(tmp_path):
  """A run at step 9, with what writers left."""
  directory = RunDirectory(str(tmp_path / "run"))
  for step in (3, 6, 9):
    save(directory.checkpoints, step)
  for name in (*LEFT, "assets/classes.json"):
    path = pathlib.Path(directory.file(name))
    path.parent.mkdir(exist_ok=True)
    path.write_text("left")
  return directory


def tree(run):
  root = pathlib.Path(run.path)
  return {str(x.relative_to(root)) for x in root.rglob("*") if x.is_file()}


def half_deleted(run, step, monkeypatch):
  """Deletes a checkpoint on a disk that gives up behind its marker."""

  def fails(path):
    if path.endswith("manifest.json"):
      return own.remove(path)
    raise OSError(errno.EIO, "Input/output error")

  with monkeypatch.context() as patch, pytest.raises(OSError, match="Input"):
    patch.setattr(manifest, "remove", fails)
    manifest.delete(os.path.join(run.checkpoints, f"ckpt-{step}"))


def test_what_a_killed_save_left_is_swept(run):
  folder = pathlib.Path(run.checkpoints)
  for name in ("ckpt-12.index", "ckpt-12.data-00000-of-00001"):
    (folder / name).write_bytes(b"half")
  (folder / "ckpt-12_temp").mkdir()
  sweep(run, 9)
  assert not list(folder.glob("ckpt-12*"))
  assert len(list(folder.glob("*.manifest.json"))) == 3


@pytest.mark.parametrize("finished", [False, True])
def test_a_deletion_that_failed_is_done_later(run, finished, monkeypatch):
  folder = pathlib.Path(run.checkpoints)
  (folder / "ckpt-3.manifest.json").unlink()  # Lost, by nobody here.
  whole = tree(run)
  half_deleted(run, 6, monkeypatch)
  assert list(folder.glob("ckpt-6.data*"))
  if finished:
    sweep_finished(run, Lock(run.path), 9)
  else:
    sweep(run, 9)
  gone = {x for x in whole if "ckpt-6" in x} | {*LEFT}
  assert tree(run) == whole - gone


def test_a_deletion_that_fails_again_is_still_known_as_one(run, monkeypatch):
  half_deleted(run, 6, monkeypatch)
  prefix = os.path.join(run.checkpoints, "ckpt-6")

  def fails(path):
    raise OSError(errno.EIO, "Input/output error")

  with monkeypatch.context() as patch:
    patch.setattr(manifest, "delete", fails)
    sweep(run, 9)
    assert manifest.is_going(prefix)
  sweep(run, 9)
  assert not any("ckpt-6" in name for name in tree(run))


def test_a_finished_run_in_which_another_job_works_stays_as_it_is(run):
  lock = Lock(run.path)
  lock.acquire()
  try:
    before = tree(run)
    sweep_finished(run, Lock(run.path, sleep=lambda seconds: None), 9)
    assert tree(run) == before
  finally:
    lock.release()


def test_a_finished_run_without_leftovers_is_not_locked(run, monkeypatch):
  sweep(run, 9)
  monkeypatch.setattr(Lock, "acquire", lambda self: pytest.fail("was locked"))
  sweep_finished(run, Lock(run.path), 9)


def test_what_cannot_be_seen_is_neither_gone_nor_a_directory(run, monkeypatch):
  """One failing look at a link must not lead through it."""
  canaries = pathlib.Path(run.path).parent / "canaries"
  canaries.mkdir()
  (canaries / "part-00000-of-00001.index").write_text("precious")
  link = os.path.join(run.checkpoints, "ckpt-5_temp")
  os.symlink(canaries, link)
  look = os.stat

  def unseen(path, **kwargs):
    if path == link and not kwargs.get("follow_symlinks", True):
      raise OSError(errno.EIO, "Input/output error")
    return look(path, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(os, "stat", unseen)
    with pytest.raises(OSError, match="Input/output"):
      own.leftovers(run.checkpoints)
    sweep(run, 9)
  assert [x.name for x in canaries.iterdir()] == ["part-00000-of-00001.index"]
  sweep(run, 9)
  assert os.path.islink(link)
  assert list(canaries.iterdir())

"""A run deletes its own files, and nothing else: no link, no neighbour."""

import os
import pathlib

import pytest

from engine.durability import manifest, own
from engine.durability.run_directory import RunDirectory
from engine.errors import CannotBeRead
from tests.engine.durability.checkpoints_test import save

TOKEN = "0" * 32
OWN = [
  ".config.yaml.1.2.part",
  ".result.json.1.2.part",
  f"lock.json.{TOKEN}.part",
  "checkpoints/.ckpt-3.manifest.json.1.2.part",
  f"checkpoints/checkpoint.tmp{TOKEN}",
  "checkpoints/ckpt-3.index.tempstate123",
  "checkpoints/ckpt-5_temp/part-00000-of-00001.data-00000-of-00001",
  "checkpoints/ckpt-5_temp/part-00000-of-00001.index.tempstate9",
  "assets/.classes.json.1.2.part",
  "examples/.dev.npz.1.2.part",
]
OTHERS = [
  "movie.mp4.part",
  "thesis.part/chapter1.tex",
  ".thesis.tex.1.2.part",
  "lock.json.mine.part",
  "config.yaml.part",
  "checkpoints/ckpt-4.index.orig",
  "checkpoints/ckpt-4.data-00000-of-00001.bak",
  "checkpoints/ckpt-4_temp.tar/x",
  "checkpoints/checkpoint.tmp",
  "checkpoints/x.part",
  "checkpoints/ckpt-6_temp/notes.txt",
  "assets/.other.json.1.2.part",
  "assets/classes.json",
  "examples/dev.npz",
]


def make(root, names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("precious")


def files(root):
  return {
    os.path.relpath(os.path.join(folder, name), root)
    for folder, _, names in os.walk(root)
    for name in names
  }


def sweep(run):
  for folder in (run.path, run.assets, run.examples, run.checkpoints):
    own.remove_leftovers(folder)


@pytest.fixture
def run(tmp_path):
  make(tmp_path / "run", [*OWN, *OTHERS])
  return RunDirectory(str(tmp_path / "run"))


def test_what_kills_left_goes_and_what_looks_like_it_stays(run):
  sweep(run)
  assert files(run.path) == set(OTHERS)
  assert not os.path.exists(os.path.join(run.checkpoints, "ckpt-5_temp"))


def test_nothing_is_deleted_through_a_link(tmp_path):
  """Each own name is a link to a canary, or to a directory of such."""
  canaries = tmp_path / "canaries"
  shards = [f"part-0000{i}-of-00002.index" for i in range(2)]
  make(canaries, [*shards, "x", "ckpt-3.index", "ckpt-3.manifest.json"])
  before = files(canaries)
  for folder in (False, True):
    root = tmp_path / f"run{folder}"
    for name in [
      *OWN,
      "x.part",
      "checkpoints/ckpt-7_temp",
      "checkpoints/ckpt-3.index",
      "checkpoints/ckpt-3.manifest.json",
    ]:
      path = root / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.symlink_to(canaries if folder else canaries / "x")
    run = RunDirectory(str(root))
    links = len(list(root.rglob("*")))
    sweep(run)
    prefix = os.path.join(run.checkpoints, "ckpt-3")
    assert not manifest.delete(prefix)
    with pytest.raises(OSError, match="is a link"):
      manifest.revoke(prefix)
    assert len(list(root.rglob("*"))) == links
    assert files(canaries) == before
  assert {(canaries / name).read_text() for name in before} == {"precious"}


def test_a_save_refuses_a_link_in_its_place(tmp_path):
  """TensorFlow would write through it."""
  canary = tmp_path / "canary"
  canary.mkdir()
  run = tmp_path / "checkpoints"
  run.mkdir()
  for name in ("ckpt-3.index", "ckpt-3_temp"):
    (run / name).symlink_to(canary)
    with pytest.raises(OSError, match=f"{name} is a link"):
      manifest.revoke(str(run / "ckpt-3"))
    assert own.stranger(str(run / "ckpt-3")) == str(run / name)
    (run / name).unlink()


def test_a_checkpoint_goes_and_its_neighbours_stay(tmp_path):
  prefix = save(tmp_path, 3)
  others = {"ckpt-3.index.orig", "ckpt-3.data-x", "ckpt-30.index", "ckpt-3"}
  make(tmp_path, others)
  assert manifest.delete(prefix)
  assert files(tmp_path) == others


def test_what_cannot_be_listed_is_not_empty(tmp_path):
  path = pathlib.Path(tmp_path, "checkpoints")
  path.touch()
  with pytest.raises(CannotBeRead, match="Not a directory"):
    manifest.prefixes(str(path))
  assert manifest.prefixes(str(tmp_path / "none")) == []

"""A manifest proves that a checkpoint is whole, or names what is not."""

import os
import shutil

import pytest
import tensorflow as tf

from engine.durability import manifest
from engine.errors import Damaged, Missing, UserError
from tests.engine.durability.checkpoints_test import CONFIG, rewrite, save


@pytest.fixture
def prefix(tmp_path):
  return save(tmp_path)


def damage(prefix, suffix):
  return pytest.raises(Damaged, match=os.path.basename(prefix) + suffix)


def test_a_whole_checkpoint_is_verified(prefix):
  found = manifest.verify(prefix)
  assert found == manifest.read_manifest(prefix)
  assert (found.step, found.config) == (3, CONFIG)
  assert found.versions == {"python": "3.12"}
  assert found.metrics == {"accuracy": 0.5}
  assert sorted(found.files) == ["ckpt-3.data-00000-of-00001", "ckpt-3.index"]
  for name, facts in found.files.items():
    path = os.path.join(os.path.dirname(prefix), name)
    assert facts["size"] == os.path.getsize(path)


def test_the_digest_is_of_the_settings_in_any_order(tmp_path):
  digests = {
    manifest.write_manifest(
      str(tmp_path / "ckpt-1"), step=1, config=config, versions={}
    ).config_digest
    for config in (CONFIG, dict(reversed(CONFIG.items())), {"train.seed": 2})
  }
  assert len(digests) == 2


def test_a_directory_may_have_any_name(tmp_path):
  (tmp_path / "run[1]*").mkdir()
  found = manifest.verify(prefix := save(tmp_path / "run[1]*"))
  assert len(found.files) == 2
  manifest.delete(prefix)
  assert os.listdir(tmp_path / "run[1]*") == []


SUFFIXES = (".index", ".data-00000-of-00001")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_flipped_bit_is_found(prefix, suffix):
  with open(prefix + suffix, "r+b") as file:
    content = bytearray(file.read())
    content[len(content) // 2] ^= 1
    file.seek(0)
    file.write(content)
  with damage(prefix, suffix + " was altered"):
    manifest.verify(prefix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_short_file_is_found(prefix, suffix):
  size = os.path.getsize(prefix + suffix)
  for left in (size - 1, 0):
    os.truncate(prefix + suffix, left)
    with damage(prefix, f"{suffix} has {left} bytes instead of {size}"):
      manifest.verify(prefix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_is_found(prefix, suffix):
  os.remove(prefix + suffix)
  with damage(prefix, suffix + " is missing"):
    manifest.verify(prefix)


def test_without_a_manifest_it_was_never_finished(prefix):
  os.remove(prefix + ".manifest.json")
  with pytest.raises(Missing, match=r"json is missing: it was never finished"):
    manifest.verify(prefix)
  assert not manifest.is_committed(prefix)


@pytest.mark.parametrize(
  "text",
  [
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b'{"format": 1}',
    b'{"format": "1"}',
  ],
)
def test_a_garbled_manifest_is_damage(prefix, text):
  with open(prefix + ".manifest.json", "wb") as file:
    file.write(text)
  with damage(prefix, ".manifest.json (is damaged|was altered|is no manifest)"):
    manifest.verify(prefix)


@pytest.mark.parametrize(
  "files", [{}, [], None, {"ckpt-3.index": {}}, {"ckpt-3.index": None}]
)
def test_a_manifest_that_proves_nothing_is_damage(prefix, files):
  rewrite(prefix, files=files)
  with damage(prefix, ""):
    manifest.verify(prefix)


@pytest.mark.parametrize(
  "name", ["/dev/zero", "../ckpt-3.index", "x/ckpt-3.index", "ckpt-2.index", ""]
)
def test_a_manifest_names_its_own_files_and_no_others(prefix, name):
  files = manifest.read_manifest(prefix).files
  rewrite(prefix, files={**files, name: {"size": 0, "sha256": "x"}})
  with damage(prefix, ".manifest.json names .*, which is not its own"):
    manifest.verify(prefix)


def test_a_manifest_of_another_step_is_damage(prefix, tmp_path):
  other = save(tmp_path, 4)
  shutil.copy(prefix + ".manifest.json", other + ".manifest.json")
  with damage(other, ".manifest.json is of step 3"):
    manifest.verify(other)


def test_a_device_in_the_place_of_a_file_is_not_read(prefix):
  os.remove(prefix + ".index")
  os.symlink("/dev/zero", prefix + ".index")
  with damage(prefix, ".index is no regular file"):
    manifest.verify(prefix)


def test_any_flipped_byte_of_a_manifest_is_damage(prefix):
  path = prefix + ".manifest.json"
  with open(path, "rb") as file:
    content = file.read()
  whole = manifest.read_manifest(prefix)
  for at in range(0, len(content), 3):
    with open(path, "wb") as file:
      file.write(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    try:
      # Spaces and the ends of lines alone mean nothing.
      assert manifest.read_manifest(prefix) == whole, at
    except Damaged:
      continue


def test_a_manifest_of_format_1_is_read_and_its_config_checked(prefix):
  whole = manifest.read_manifest(prefix)
  rewrite(prefix, old=True)
  found = manifest.verify(prefix)
  assert (found.files, found.format, found.settings) == (whole.files, 1, {})
  rewrite(prefix, old=True, config={**CONFIG, "train.seed": 2})
  with damage(prefix, ".manifest.json was altered"):
    manifest.verify(prefix)


def test_a_newer_format_asks_for_a_newer_apsis(prefix):
  rewrite(prefix, format=manifest.FORMAT + 1, novelty=True)
  with pytest.raises(UserError, match="format 4, .*use the Apsis that wrote"):
    manifest.verify(prefix)


def test_prefixes_are_in_the_order_of_their_steps(tmp_path):
  for step in (10, 9, 200):
    save(tmp_path, step)
  for suffix in (".index", ".manifest.json"):  # Damaged in three ways.
    os.remove(tmp_path / f"ckpt-9{suffix}")
  os.remove(tmp_path / "ckpt-10.index")
  for stray in ("checkpoint", "ckpt-7_temp", "ckpt-8.index.tempstate1"):
    (tmp_path / stray).write_text("")
  found = manifest.prefixes(str(tmp_path))
  assert found == [str(tmp_path / f"ckpt-{step}") for step in (9, 10, 200)]
  assert list(map(manifest.is_committed, found)) == [False, True, True]
  assert manifest.prefixes(str(tmp_path / "nowhere")) == []


def test_delete_takes_the_marker_first_and_no_neighbour(tmp_path, monkeypatch):
  prefix, neighbour = save(tmp_path, 1), save(tmp_path, 10)
  committed = []
  remove = tf.io.gfile.remove
  monkeypatch.setattr(
    tf.io.gfile,
    "remove",
    lambda path: (
      committed.append(manifest.is_committed(prefix)),
      remove(path),
    ),
  )
  assert manifest.delete(prefix)
  assert committed == [False] * 3
  assert manifest.prefixes(str(tmp_path)) == [neighbour]
  manifest.verify(neighbour)

"""A sidecar evaluates what a trainer writes and deletes meanwhile."""

import os
import shutil

import pytest

from engine.durability import manifest
from engine.errors import UserError
from engine.run import follow
from tests.support.testing import LineTask
from tests.support.training import lines, run

SETTINGS = {"checkpoint": {"checkpoint_interval": 2, "max_to_keep": 3}}


@pytest.fixture
def trained(tmp_path):
  """A run of six steps with three checkpoints; the last is not committed."""
  run(tmp_path, task=LineTask(), mode="train", **SETTINGS)
  return tmp_path, Marker(tmp_path / "checkpoints" / "ckpt-6.manifest.json")


class Marker:
  """Takes the marker of a checkpoint away, and brings it back."""

  def __init__(self, path):
    self._path, self._text = path, path.read_text()
    path.unlink()

  def restore(self):
    self._path.write_text(self._text)


def watch(directory, task=None):
  return run(
    directory, task=task or LineTask(), mode="continuous_eval", **SETTINGS
  )


def prune(prefix, _):
  """As the trainer does where newer ones have come."""
  manifest.delete(prefix)
  return lambda: None


def write_anew(prefix, aside):
  """As a trainer that resumed does: the marker goes first and comes last."""
  found = manifest.read_manifest(prefix)
  shutil.copytree(os.path.dirname(prefix), aside)
  manifest.delete(prefix)

  def finish():
    for name in found.files:
      shutil.copy(aside / name, os.path.dirname(prefix))
    manifest.write_manifest(
      prefix, step=found.step, config=found.config, versions=found.versions
    )

  return finish


@pytest.mark.parametrize("change", [prune, write_anew])
def test_a_checkpoint_that_changes_while_it_is_read_stops_nothing(
  trained, tmp_path_factory, monkeypatch, change
):
  directory, marker = trained
  restore, read = follow.restore, []

  def read_meanwhile(checkpoint, prefix):
    read.append(manifest.step_of(prefix))
    if len(read) > 1:
      return restore(checkpoint, prefix)
    finish = change(prefix, tmp_path_factory.mktemp("aside") / "copy")
    try:
      return restore(checkpoint, prefix)
    finally:
      finish()
      marker.restore()

  monkeypatch.setattr(follow, "restore", read_meanwhile)
  monkeypatch.setattr(follow, "_LOOK", 0.0)
  assert watch(directory)["step"] == 6
  assert read == [5, 6]
  (line,) = lines(directory / "continuous_eval" / "dev", "eval")
  assert line["step"] == 6


def test_it_goes_on_from_each_checkpoint_to_a_newer_one_only(
  trained, monkeypatch
):
  """Where the newest goes, an older one is not evaluated behind it."""
  directory, marker = trained
  looks = []

  def look(_):
    looks.append(None)
    manifest.revoke(str(directory / "checkpoints" / "ckpt-5"))
    if len(looks) == 2:
      marker.restore()

  monkeypatch.setattr(follow.time, "sleep", look)
  assert watch(directory)["step"] == 6
  steps = [x["step"] for x in lines(directory / "continuous_eval/dev", "eval")]
  assert steps == [5, 6]


def test_a_whole_checkpoint_that_does_not_fit_is_refused(trained):
  class Wider(LineTask):
    def build_model(self):
      import tf_keras

      x = tf_keras.Input([8])
      return tf_keras.Model({"x": x}, tf_keras.layers.Dense(2)(x))

  with pytest.raises(UserError, match="is whole, but does not fit"):
    watch(trained[0], Wider())

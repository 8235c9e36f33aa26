"""`hf:OWNER/NAME` is what the hub's cache has of it, or a line says why not."""

import os

import huggingface_hub
import pytest
from huggingface_hub import constants

from engine.errors import UserError
from tasks.encoders import find as encoders
from tests.support import families

OLD, NEW = "1" * 40, "2" * 40


@pytest.fixture
def cached(tmp_path, monkeypatch):
  """A cache as the hub's library leaves it, with links; there is no network."""
  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
  monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
  model = tmp_path / "models--some-body--small"
  (model / "refs").mkdir(parents=True)
  (model / "refs" / "main").write_text(NEW)
  blobs = families.write("roberta", str(model / "blobs"))
  for revision in (OLD, NEW):
    snapshot = model / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for name in os.listdir(blobs):
      (snapshot / name).symlink_to(os.path.join(blobs, name))
  return model / "snapshots"


@pytest.mark.parametrize(
  ("encoder", "revision"),
  [("hf:some-body/small", NEW), (f"hf:some-body/small@{OLD}", OLD)],
)
def test_a_name_is_the_snapshot_of_its_revision(cached, encoder, revision):
  found = encoders.find(encoder)
  assert found.directory == found.source == str(cached / revision)
  assert found.pretrained


@pytest.mark.parametrize(
  "encoder", ["hf:some-body/other", "hf:some-body/small@x"]
)
def test_what_cannot_be_fetched_is_refused_with_the_cure(cached, encoder):
  with pytest.raises(UserError, match="cannot be fetched .*: look at") as told:
    encoders.find(encoder)
  assert "\n" not in str(told.value) and len(str(told.value)) <= 400


def test_no_code_and_no_pickle_is_asked_for(monkeypatch):
  asked = {}

  def download(name, **settings):
    asked.update(settings, name=name)
    raise OSError("enough")

  monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
  with pytest.raises(UserError, match=r"cannot be fetched \(.*enough"):
    encoders.find("hf:bert-base-uncased")
  assert (asked["name"], asked["revision"]) == ("bert-base-uncased", None)
  kinds = (".json", ".txt", ".safetensors")
  assert all(x.endswith(kinds) for x in asked["allow_patterns"])

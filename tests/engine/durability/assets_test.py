"""Assets that were changed behind a run's back are found."""

import json
import pathlib

import pytest

from engine.durability import assets
from engine.durability.run_directory import RunDirectory
from engine.errors import UserError


@pytest.fixture
def sealed(tmp_path):
  directory = RunDirectory(str(tmp_path))
  below = tmp_path / "assets" / "variables"
  below.mkdir(parents=True)
  (below / "data").write_bytes(b"w")
  (tmp_path / "assets" / "classes.json").write_text('["no", "yes"]')
  assets.seal(directory)
  return directory


def as_link(path):
  path.symlink_to(path.rename(path.with_name(".classes.7.7.part")))


def test_assets_as_they_were_written_are_taken(sealed, tmp_path):
  assert assets.check(sealed)
  # What a killed writer left is no asset.
  (tmp_path / "assets" / ".vocab.txt.7.7.part").write_bytes(b"half")
  assert assets.check(sealed)


@pytest.mark.parametrize(
  ("spoil", "complaint"),
  [
    (lambda x: (x / "classes.json").write_text("[]"), "classes.json was cha"),
    (lambda x: (x / "classes.json").unlink(), "classes.json is gone"),
    (lambda x: (x / "variables/data").write_bytes(b"v"), "data was changed"),
    (lambda x: (x / "vocab.txt").write_text("a"), "vocab.txt was added"),
    (lambda x: as_link(x / "classes.json"), "classes.json has become a link"),
  ],
)
def test_assets_that_differ_are_named(sealed, tmp_path, spoil, complaint):
  spoil(tmp_path / "assets")
  with pytest.raises(UserError, match=f"{complaint}.*remove .*assets.json to"):
    assets.check(sealed)
  (tmp_path / "assets.json").unlink()
  assert not assets.check(sealed)  # As are those of an older version.


@pytest.mark.parametrize("content", ["", "[1]", '{"files": 5}', "[" * 10**5])
def test_a_damaged_list_is_named(sealed, tmp_path, content):
  (tmp_path / "assets.json").write_text(content)
  with pytest.raises(UserError, match="assets.json is damaged"):
    assets.check(sealed)


@pytest.mark.parametrize("name", ["../t.tsv", "x/../../t.tsv", "/etc/hosts"])
def test_a_list_of_what_is_elsewhere_is_refused(sealed, tmp_path, name):
  (tmp_path / "t.tsv").write_text("a")
  path = tmp_path / "assets.json"
  said = json.loads(path.read_text())["files"]
  path.write_text(json.dumps({"files": {**said, name: "0" * 64}}))
  with pytest.raises(UserError, match=f"assets.json names '{name}', .*remove"):
    assets.check(sealed)
  assert not assets.can_be_mended(sealed, lambda place: None)


def save(place):
  """Writes what the task would write now, as `sealed` has it."""
  below = pathlib.Path(place) / "variables"
  below.mkdir()
  (below / "data").write_bytes(b"w")
  (below.parent / "classes.json").write_text('["no", "yes"]')


def flip(path):
  """Flips a bit: in a list, of the last digit of its last digest."""
  text = bytearray(path.read_bytes())
  text[-9] ^= 1
  path.write_bytes(text)


def flip_both(path):
  flip(path / "assets.json")
  flip(path / "assets/classes.json")


@pytest.mark.parametrize(
  ("spoil", "mended"),
  [
    (lambda x: flip(x / "assets.json"), True),
    (lambda x: (x / "assets.json").write_text("["), True),
    (lambda x: flip(x / "assets/classes.json"), True),
    (lambda x: (x / "assets/mine").touch(), False),
    (flip_both, False),
  ],
)
def test_files_or_their_list_are_mended_by_what_would_be_written(
  sealed, tmp_path, spoil, mended
):
  spoil(tmp_path)
  with pytest.raises(UserError):
    assets.check(sealed)
  assert assets.can_be_mended(sealed, save) == mended


def test_a_list_is_forgotten_before_assets_are_written(sealed):
  assets.unseal(sealed)
  assert not assets.check(sealed)
  assets.unseal(sealed)

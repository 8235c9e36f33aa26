"""Which files a pattern means, whatever signs their names have."""

import os

import pytest

from engine.errors import UserError
from tasks.data.forms import FormSettings, find_files


@pytest.fixture
def there(tmp_path):
  for name in ("a.tsv", "b.tsv", "d[1].tsv", "d1.tsv", "x,y.tsv", "of it.tsv"):
    (tmp_path / name).write_text("")
  (tmp_path / "run [2]").mkdir()
  (tmp_path / "run [2]" / "c.tsv").write_text("")
  return tmp_path


@pytest.mark.parametrize(
  "parts, found",
  [
    ("a.tsv b.tsv", "a.tsv b.tsv"),
    ("?.tsv", "a.tsv b.tsv"),
    ("d[1].tsv", "d[1].tsv"),
    ("d[12].tsv", "d1.tsv"),
    ("x,y.tsv", "x,y.tsv"),
    ("a.tsv x,y.tsv b.tsv", "a.tsv x,y.tsv b.tsv"),
    ("of_it.tsv", "of_it.tsv"),
    ("run_[2]/c.tsv", "run_[2]/c.tsv"),
    ("run_[2]/*.tsv", "run_[2]/c.tsv"),
    ("a.tsv ", "a.tsv"),
  ],
)
def test_a_file_is_found_by_its_name_or_a_glob(there, parts, found):
  paths = lambda text: [
    f"{there}/{part.replace('_', ' ')}" if part else ""
    for part in text.split(" ")
  ]
  assert find_files(",".join(paths(parts)), "train_file") == paths(found)


def test_what_is_no_file_is_refused(there):
  with pytest.raises(UserError, match=r"`train_file` .*none.tsv finds no file"):
    find_files(f"{there}/none.tsv,{there}/a.tsv", "train_file")
  with pytest.raises(UserError, match=r"is a directory: name the files in it"):
    find_files(str(there), "train_file")
  os.mkfifo(there / "pipe")
  with pytest.raises(UserError, match="can be read only once"):
    find_files(f"{there}/pipe", "train_file")


def test_a_file_that_is_named_twice_is_told(there, caplog):
  assert len(find_files(f"{there}/a.tsv,{there}/?.tsv", "train_file")) == 3
  assert f"names {there}/a.tsv 2 times" in caplog.text


def test_endings_in_capitals_say_the_same():
  assert FormSettings().form_of("X.TSV.GZ").kind == "tsv"

"""Files of lines: packed, of any ends of lines; what is no text is refused."""

import bz2
import gzip
import lzma
import os
import threading

import pytest

from engine.errors import UserError
from tasks.data.line_files import DamagedFile, LineFile, opened_lines

TEXT = b"first\nsecond\n\nlast"
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def lines_of(path, **options):
  with opened_lines(str(path), **options) as file:
    return [raw.rstrip(b"\n") for *_, raw in file]


def written(path, content):
  path.write_bytes(content)
  return path


@pytest.mark.parametrize("ending", [*PACK, ".GZ"])
def test_packed_files_are_read_and_damaged_ones_named(tmp_path, ending):
  whole = PACK[ending.lower()](TEXT * 1000)
  path = written(tmp_path / f"x{ending}", whole)
  assert lines_of(path) == (TEXT * 1000).split(b"\n")
  for damaged in (
    whole[: len(whole) // 2],
    whole[:30] + bytes(20) + whole[50:],
    whole[:-3],
  ):
    with pytest.raises(DamagedFile, match="line .*bring back a whole one"):
      lines_of(written(path, damaged))
  with pytest.raises(UserError, match="is not packed as its name says"):
    lines_of(written(path, TEXT))
  with pytest.raises(UserError, match=f"let it end in {ending.lower()}"):
    lines_of(written(tmp_path / "x.tsv", whole))


def test_lines_that_end_in_cr_alone_are_lines(tmp_path, caplog):
  path = written(tmp_path / "x.tsv", b"a\tb\rc\td\r")
  assert lines_of(path) == [b"a\tb", b"c\td"]
  assert "end in CR alone" in caplog.text
  with opened_lines(str(path)) as file:
    places = [each[:2] for each in file]
    file.seek(*places[1])
    assert places == [(0, 1), (4, 2)]
    assert [raw for *_, raw in file] == [b"c\td\n"]
  # One within a line is none, nor one behind which LF comes.
  assert lines_of(written(path, b"a\rb\nc\r\n")) == [b"a\rb", b"c\r"]
  # Old spreadsheets write LF within a cell.
  cells = written(tmp_path / "x.csv", b'a,b\r"c\nd",e\r')
  assert lines_of(cells, quoted=True) == [b"a,b", b'"c', b'd",e']
  assert lines_of(written(cells, b'"a\rb",c\nd,e\n'), quoted=True) == [
    b'"a\rb",c',
    b"d,e",
  ]


def test_a_long_first_line_does_not_hide_how_it_ends(tmp_path):
  long = b"x" * 100_000
  path = written(tmp_path / "x.tsv", b"a\r" + long + b"\nb\n")
  assert lines_of(path) == [b"a\r" + long, b"b"]


@pytest.mark.parametrize("order", ["", "-le", "-be"])
@pytest.mark.parametrize(
  ("text", "codec"), [("a,b", "UTF-16"), ("a,b", "UTF-32"), ("文,b", "UTF-32")]
)
def test_other_unicode_is_refused_with_the_cure(tmp_path, text, codec, order):
  path = written(tmp_path / "x.csv", f"{text},label\n".encode(codec + order))
  codec += order[1:].upper()  # Without a mark, iconv is told the order.
  with pytest.raises(UserError, match=f"is {codec},.*iconv -f {codec} -t"):
    lines_of(path)


def test_a_mark_of_utf_8_is_no_text_and_nul_is_some(tmp_path):
  path = written(tmp_path / "x.tsv", b"\xef\xbb\xbfa\x00x\n\xef\xbb\xbfb")
  assert lines_of(path) == [b"a\x00x", b"\xef\xbb\xbfb"]


def test_a_pipe_is_read_once_and_may_be_packed(tmp_path):
  path = tmp_path / "pipe"
  for content in (TEXT, gzip.compress(TEXT)):
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    assert lines_of(path) == TEXT.split(b"\n")
    writer.join()
    path.unlink()


def test_what_is_not_there_is_named(tmp_path):
  for path in (tmp_path / "none", tmp_path):
    with pytest.raises(UserError, match=f"{path} cannot be read"):
      lines_of(path)


def test_a_place_is_returned_to(tmp_path):
  with open(written(tmp_path / "x", TEXT), "rb") as raw:
    file = LineFile(raw, "x")
    found = list(file)
    for place in reversed(found):
      file.seek(*place[:2])
      assert next(iter(file)) == place

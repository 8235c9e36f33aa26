"""Vocabularies are taken as the original loaders take them, or refused."""

import pytest

from engine.errors import UserError
from tasks.wordpiece.spec import WordPiece
from tasks.wordpiece.vocabulary import keeps_case, pieces_of, read_pieces

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def read(tmp_path, content):
  path = tmp_path / "vocab.txt"
  path.write_bytes(content)
  return read_pieces(str(path))


@pytest.mark.parametrize(
  "content",
  [
    b"[PAD]\nthe\ncat\n",
    b"[PAD]\nthe\ncat",
    b"[PAD]\r\nthe\r\ncat\r\n",
    b"[PAD]\rthe\rcat\r",
    b"\xef\xbb\xbf[PAD]\nthe\ncat\n",
    b"[PAD]\nthe\ncat\n\n\n",
    b" [PAD]\nthe \t\n\xc2\xa0cat\xe3\x80\x80\n",
  ],
)
def test_ends_of_lines_blanks_and_a_bom_are_no_part_of_a_piece(
  tmp_path, content
):
  assert read(tmp_path, content) == ("[PAD]", "the", "cat")


def test_a_blank_line_has_a_number_and_the_last_of_equal_pieces_counts(
  tmp_path,
):
  pieces = read(tmp_path, "the\n\ncat\nthe\n\u2028\ndog\n".encode())
  ids = {piece: i for i, piece in enumerate(pieces)}
  assert len(ids) == 6  # All are different, for readers that ask for that.
  assert [ids[x] for x in ("cat", "the", "dog")] == [2, 3, 5]
  WordPiece(pieces, lowercase=True).write(str(tmp_path))
  assert read_pieces(str(tmp_path / "vocab.txt")) == pieces


def test_what_is_no_text_is_refused_by_its_path(tmp_path):
  with pytest.raises(UserError, match=r"vocab\.txt cannot be read .*UTF-8"):
    read(tmp_path, "[PAD]\nthé\n".encode("latin-1"))
  with pytest.raises(UserError, match="There is no vocabulary .*missing"):
    read_pieces(str(tmp_path / "missing"))
  with pytest.raises(UserError, match="cannot be read"):
    read_pieces(str(tmp_path))


def test_ids_of_a_mapping_may_have_holes_but_no_doubles():
  assert pieces_of({"b": 2, "a": 0}, "x")[::2] == ("a", "b")
  assert len(set(pieces_of({"a": 0, " b": 1, "c\r": 2, "\ud800": 3}, "x"))) == 4
  assert "the" not in pieces_of({"the ": 0, "a": 1}, "x")
  for ids in ({"a": 1, "b": 1}, {"a": -1}, {"a": 10**9}, {"a": 0.5}):
    with pytest.raises(UserError, match="x"):
      pieces_of(ids, "x")


@pytest.mark.parametrize(
  "words, keeps",
  [
    ("the cat ##s", False),
    ("the cat Berlin ##s", True),
    ("a b A B", True),  # A vocabulary of letters.
    ("der die das <S> <T> [unused1] [MASK] {A} <URL>", False),
    ("a b c d e f g h i j k URL", False),  # One in twelve.
    ("我 你 bert gpu", False),
    ("我 你", False),
    ("iPhone bert", True),
    ("κόσμος Αθήνα", True),
    ("MODEL_1 C++ 3D the cat", False),
  ],
)
def test_casing_is_found_by_ordinary_words_alone(words, keeps):
  assert keeps_case([*SPECIAL, *words.split()]) == keeps

"""What training reads is read to be predicted, with all of its columns."""

import gzip
import io
import json
import re
import types

import pytest

from engine.config import TaskConfig
from engine.errors import UserError
from launch.trained.inputs import open_input
from tasks.config import SentencePairConfig

PAIR = {"text_a": "A dog.", "text_b": 'It "barks", loud.'}


def rows_of(path, named=(), is_headless=False, **settings):
  config = SentencePairConfig(**settings)
  given = open_input(
    str(path), config, "pair", dict(named), is_headless=is_headless
  )
  return [*given]


def write(path, text):
  path.write_text(text)
  return path


@pytest.mark.parametrize(
  ("name", "text", "settings"),
  [
    ("x.tsv", 'id\tsentence1\tsentence2\n7\tA dog.\tIt "barks", loud.\n', {}),
    ("x.csv", 'id,premise,Hypothesis\n7,A dog.,"It ""barks"", loud."\n', {}),
    (
      "x.csv",
      'id,left,right\n7,A dog.,"It ""barks"", loud."\n',
      {"text_a": "left", "text_b": "right"},
    ),
    (
      "x.csv",
      '7,A dog.,"It ""barks"", loud."\n',
      {"text_a": "a", "text_b": "b", "columns": ("id", "a", "b")},
    ),
    ("x.jsonl", json.dumps({"id": 7, **PAIR}) + "\n", {}),
    ("x", json.dumps({"id": 7, **PAIR}) + "\n", {}),
    # As it is called elsewhere than in the run.
    (
      "x.jsonl",
      json.dumps({"id": 7, **PAIR}) + "\n",
      {"text_a": "left", "text_b": "right"},
    ),
  ],
)
def test_a_table_gives_pairs_and_keeps_its_columns(
  tmp_path, name, text, settings
):
  (row,) = rows_of(write(tmp_path / name, text), **settings)
  assert json.loads(row.line) == PAIR
  assert [*row.fields.values()][:2] in ([7, "A dog."], ["7", "A dog."])
  assert row.end == len(text)


def test_packed_files_and_globs_are_read_in_order(tmp_path):
  write(tmp_path / "1.tsv", "text_a\ttext_b\na\tb\n")
  (tmp_path / "2.tsv.gz").write_bytes(gzip.compress(b"c\td\n"))
  rows = rows_of(tmp_path / "*.tsv*")
  assert [row.form for row in rows] == ["tsv", "lines"]
  assert [json.loads(rows[0].line)["text_a"], rows[1].line] == ["a", "c\td"]
  with pytest.raises(UserError, match="`input` .*none finds no file"):
    rows_of(tmp_path / "none")


def test_the_standard_input_may_have_a_header(tmp_path, monkeypatch):
  text = b"question1\tquestion2\tid\na\tb\t1\n"
  stdin = types.SimpleNamespace(buffer=io.BytesIO(text))
  monkeypatch.setattr("sys.stdin", stdin)
  (row,) = rows_of("-")
  assert row.fields == {"question1": "a", "question2": "b", "id": "1"}
  assert row.place == "standard input, line 2"


def test_a_csv_of_two_columns_needs_no_header(tmp_path):
  path = write(tmp_path / "x.csv", '"a, b",c\nd,e\n')
  assert [json.loads(row.line)["text_a"] for row in rows_of(path)] == [
    "a, b",
    "d",
  ]


def test_pairs_alone_need_no_header_where_the_run_names_more_columns(tmp_path):
  path = write(tmp_path / "x.tsv", "a b\tc\nd\te\n")
  rows = rows_of(path, text_a="l", text_b="r", columns=("l", "r", "gold"))
  assert [json.loads(row.line)["text_b"] for row in rows] == ["c", "e"]


def test_single_sentences_have_a_header_too(tmp_path):
  path = write(tmp_path / "x.csv", "id,sentence\n1,a b\n")
  (row,) = rows_of(path, text_b="")
  assert json.loads(row.line) == {"text_a": "a b"}


@pytest.mark.parametrize(
  ("text", "fault"),
  [("", "is empty"), ("\n\n", "is empty"), (b"text_a,\xc3(\n", "not UTF-8")],
)
def test_a_table_without_a_first_row_is_told_so(tmp_path, text, fault):
  path = tmp_path / "x.csv"
  path.write_bytes(text.encode() if isinstance(text, str) else text)
  with pytest.raises(UserError, match=f"{path}.*{fault}"):
    rows_of(path)


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("x.csv", "id,left,right\n1,a,b\n"),
    ("x.jsonl", '{"id": 1, "left": "a", "right": "b"}\n'),
  ],
)
def test_a_file_without_the_columns_of_the_run_is_refused(tmp_path, name, text):
  path = write(tmp_path / name, text)
  with pytest.raises(UserError) as caught:
    rows_of(path, text_a="premise", text_b="claim")
  assert str(caught.value) == (
    f"{path} has the columns ['id', 'left', 'right'], but none for the "
    "sentences of the run (premise and claim): say which by --text_a=COLUMN "
    "--text_b=COLUMN, or name all by --columns=... if that is no header."
  )
  named = {"text_a": "left", "text_b": "right"}
  (row,) = rows_of(path, named)
  assert json.loads(row.line) == {"text_a": "a", "text_b": "b"}
  assert row.fields["left"] == "a"


@pytest.mark.parametrize(
  ("settings", "named", "fault"),
  [
    ({}, {"text_a": "lfet"}, r"none for the .* \(lfet"),
    ({"columns": ("id", "a", "b")}, {"text_a": "x"}, r"none for .* \(x"),
    ({"text_b": ""}, {"text_b": "right"}, "the run reads no such sentence"),
    ({}, {"text_b": ""}, "the run reads text_b too: name its column"),
  ],
)
@pytest.mark.parametrize(
  "text", ["id\tsentence1\tsentence2\n1\ta\tb\n", "a\tb\n"]
)
def test_columns_that_are_named_must_be_there(
  tmp_path, settings, named, fault, text
):
  path = write(tmp_path / "x.tsv", text)
  with pytest.raises(UserError, match=fault):
    rows_of(path, named, **settings)


@pytest.mark.parametrize(
  ("text", "named", "settings", "fault"),
  [
    ("foo\tbar\tid\na\tb\t1\n", {"text_a": "foo"}, {}, r"\(text_b\): say w"),
    ("foo,bar\na,b\n", {"text_a": "foo"}, {}, "add --file_format=csv"),
    (
      "a b\tc d\t1\n",
      {},
      {"columns": ("text_a", "text_b")},
      r"if that is no header \(it names 2, there are 3\)",
    ),
  ],
)
def test_what_lacks_is_named(tmp_path, text, named, settings, fault):
  path = write(tmp_path / "x.tsv", text)
  with pytest.raises(UserError, match=fault):
    rows_of(path, named, **settings)


def test_a_header_is_no_row_where_columns_are_named(tmp_path):
  path = write(tmp_path / "x.csv", "Id,foo,bar\n1,a,b\n")
  with pytest.raises(UserError, match="x.csv has a header, as 'Id' in its"):
    rows_of(path, columns=("id", "sentence1", "sentence2"))
  write(path, "1,a,b\n")
  (row,) = rows_of(path, columns=("id", "sentence1", "sentence2"))
  assert row.fields["sentence2"] == "b"


@pytest.mark.parametrize(
  "columns", [("id", "sentence1", "sentence2"), ("a", "b", "c")]
)
def test_columns_that_the_user_names_are_not_those_of_a_header(
  tmp_path, columns
):
  path = write(tmp_path / "x.csv", "id,premise,hypothesis\n1,a,b\n")
  with pytest.raises(UserError, match="has a header, as 'premise' in its"):
    rows_of(path, columns=columns, is_headless=True)
  # The run's own, which a file with a header need not have.
  (row,) = rows_of(path, columns=columns)
  assert json.loads(row.line) == {"text_a": "a", "text_b": "b"}


@pytest.mark.parametrize(
  ("header", "fault"),
  [
    ("id,id,premise,hypothesis", "x.csv has 'id' twice: rename one."),
    ("premise,premise,hypothesis,x", "but none for the sentences of the run"),
  ],
)
def test_a_column_that_is_there_twice_is_refused(tmp_path, header, fault):
  path = write(tmp_path / "x.csv", f"{header}\n1,2,a,b\n")
  with pytest.raises(UserError, match=re.escape(fault)):
    rows_of(path)
  with pytest.raises(UserError, match=re.escape(fault)):
    rows_of(path, text_a="premise", text_b="hypothesis")
  (row,) = rows_of(write(path, "premise,hypothesis,,\na,b,,\n"))
  assert json.loads(row.line) == {"text_a": "a", "text_b": "b"}


def test_columns_that_the_user_names_must_have_the_sentences(tmp_path):
  path = write(tmp_path / "x.csv", "1,a,b\n")
  with pytest.raises(UserError) as refused:
    rows_of(path, columns=("id", "l", "r"), is_headless=True)
  assert str(refused.value) == (
    f"{path} has the columns ['id', 'l', 'r'], but none for the sentences of "
    "the run (text_a and text_b): say which by --text_a=COLUMN "
    "--text_b=COLUMN."
  )
  named = {"text_a": "l", "text_b": "r"}
  (row,) = rows_of(path, named, columns=("id", "l", "r"), is_headless=True)
  assert json.loads(row.line) == {"text_a": "a", "text_b": "b"}
  (row,) = rows_of(path, columns=("premise", "hypothesis"), is_headless=True)
  assert isinstance(row.line, UserError)


def test_named_columns_may_be_those_of_a_file_without_a_header(tmp_path):
  path = write(tmp_path / "x.tsv", "1\tb\ta\n")
  named = {"text_a": "right", "text_b": "left"}
  (row,) = rows_of(path, named, columns=("id", "left", "right"))
  assert json.loads(row.line) == {"text_a": "a", "text_b": "b"}


@pytest.mark.parametrize(
  ("name", "text", "fault"),
  [
    ("x.csv", "text_a,text_b\na,b,c\n", "3 columns, but the header has 2"),
    ("x.csv", "text_a,text_b\na,\n", "the second sentence is empty"),
    ("x.jsonl", '{"text_a": "a", "text_b": 1}\n{"text_a": "a"}\n', "no text_b"),
    ("x.jsonl", '{"text_a": "a", "text_b": [1]}\n', "a list"),
  ],
)
def test_a_row_that_is_no_pair_says_what_it_is(tmp_path, name, text, fault):
  *_, row = rows_of(write(tmp_path / name, text))
  assert isinstance(row.line, UserError)
  assert fault in str(row.line)
  assert f"{name}, line 2: " in str(row.line) or name == "x.jsonl"


def test_a_task_of_ones_own_gets_lines(tmp_path):
  path = write(tmp_path / "x.csv", "text_a,text_b\n1,2\n\n3,4\n\n\n")
  rows = [*open_input(str(path), TaskConfig(), "example")]
  assert [row.line for row in rows] == ["text_a,text_b", "1,2", "", "3,4"]
  assert open_input(str(path), TaskConfig(), "example").size == 25
  with pytest.raises(UserError, match="has no example"):
    [*open_input(str(write(path, "\n")), TaskConfig(), "example")]

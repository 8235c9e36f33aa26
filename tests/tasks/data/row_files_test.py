"""Rows of TSV, CSV and JSON lines: read as written, or refused by a line."""

import csv
import importlib.util
import io
import json
import random

import pytest

from engine.errors import UserError
from tasks.data import pairs_on_disk
from tasks.data.forms import Form
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.data.row_files import opened
from tests.tasks.data.tables_test import table_of, texts

NAMES = ["sentence1", "sentence2", "label"]
FORMS = {
  "x.tsv": Form("tsv"),
  "x.csv": Form("csv", quoting=True),
  "x.jsonl": Form("jsonl"),
}
needs_hypothesis = pytest.mark.skipif(
  importlib.util.find_spec("hypothesis") is None,
  reason="hypothesis (extra [test]) is not installed",
)


def encoded(name, rows):
  """The bytes of a file, as Python's own modules write it."""
  file = io.StringIO(newline="")
  if name.endswith(".jsonl"):
    for i, row in enumerate(rows):
      values = dict(zip(NAMES, row, strict=True))
      file.write(json.dumps(values, ensure_ascii=i % 2 == 0) + "\n")
  elif name.endswith(".csv"):
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([NAMES, *rows])
  else:
    file.writelines("\t".join(row) + "\n" for row in [NAMES, *rows])
  return file.getvalue().encode()


def values_in(path, form):
  with opened(str(path), form) as file:
    return [
      x if isinstance(x, UserError) else [*x] for *_, x in file.rows(NAMES)
    ]


@needs_hypothesis
@pytest.mark.parametrize("name", FORMS)
def test_what_is_written_is_read_from_each_row_on(tmp_path, name):
  from hypothesis import HealthCheck, given, settings
  from hypothesis import seed as seeded
  from hypothesis import strategies as st

  # Surrogates are halves of characters; TSV has no way to say what ends a cell.
  text = st.text(
    st.characters(
      exclude_categories=["Cs"],
      exclude_characters="\t\n\r" if name == "x.tsv" else "",
    ),
    max_size=12,
  )
  path = tmp_path / name

  @seeded(0)
  @settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
  )
  @given(rows=st.lists(st.lists(text, min_size=3, max_size=3), min_size=1))
  def check(rows):
    path.write_bytes(encoded(name, rows))
    assert values_in(path, FORMS[name]) == rows
    with opened(str(path), FORMS[name]) as file:
      places = [place for *place, _ in file.rows(NAMES)]
      for place, row in reversed([*zip(places, rows, strict=True)]):
        file.seek(*place)
        assert [*next(file.rows(NAMES))[2]] == row

  check()


@pytest.mark.parametrize("name", FORMS)
def test_damaged_bytes_end_in_rows_or_in_one_line(tmp_path, name):
  draw = random.Random(0)
  sentence = lambda: draw.choice(
    ["the cat", 'say "hi"', "a, b", "ä 日本", "{x}", "C:\\dir\\", "", "[[[["]
  )
  pieces = [
    b"\n",
    b"\r",
    b"\t",
    b'"',
    b"\\",
    b",",
    b"\x00",
    b"\xff",
    b"{",
    b"[",
  ]
  pieces += [b"\\ud800", b"\xef\xbb\xbf", b"1e999", b"NaN", b'\\"', b"\xc3"]
  path = tmp_path / name
  good = 0
  for _ in range(300):
    rows = [
      [sentence(), sentence(), draw.choice(["yes", "no", "1"])]
      for _ in range(6)
    ]
    content = bytearray(encoded(name, rows))
    for _ in range(draw.randrange(4)):
      at = draw.randrange(len(content))
      end = at + draw.choice([0, 0, 1, 5])
      content[at:end] = draw.choice(pieces)
    path.write_bytes(content)
    try:
      table = table_of(path, skips=True)
      found = [row.number for row in table.rows()]
    except UserError as error:
      assert str(path) in str(error)
      continue
    # Each row is a pair or left out, once, and keeps its number.
    assert sorted([*found, *table.left.bad]) == [*range(table.left.rows)]
    good += len(found)
  assert good > 500


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_a_text_may_have_any_length(tmp_path, monkeypatch, name, large):
  long = "a word, " * 1_250_000  # 10 MB
  rows = [["x", "y", "no"], [long, "z", "yes"], ["u", long, "no"]]
  path = tmp_path / name
  path.write_bytes(encoded(name, rows))
  table = table_of(path)
  if not large:
    assert [*map(list, texts(table.rows()))] == rows
    return
  monkeypatch.setattr(pairs_on_disk, "LARGE", 2**20)
  assert pairs_on_disk.is_large(table)
  pairs = PairsOnDisk(table, lambda label, place: float(label == "yes"))
  assert pairs.read([2, 1]).texts_b == (long, "z")
  assert pairs.labels.tolist() == [0, 1, 0]


def test_quotes_in_the_way_of_r_are_read_and_told(tmp_path, caplog):
  path = tmp_path / "x.csv"
  path.write_text(
    'sentence1,sentence2,label\n"say ""hi""","C:\\\\dir",no\n'
    '"a \\"b\\", c","two\n\\"lines\\"",yes\n"\\"x\\"",y,no\nz,"end\\",yes\n'
  )
  table = table_of(path)
  rows = [
    ('say "hi"', "C:\\\\dir", "no"),
    ('a "b", c', 'two\n"lines"', "yes"),
    ('"x"', "y", "no"),
    ("z", "end\\", "yes"),
  ]
  assert texts(table.rows()) == rows
  assert "(from line 3 on) are read as R writes quotes" in caplog.text
  for i, cut in enumerate(table.cuts(1)):  # The same from wherever it begins.
    assert texts(table.read(cut)) == rows[i : i + 1]
  path.write_text('sentence1,sentence2,label\n"a \\"b",c,d,e\nf,g,h\n')
  with pytest.raises(UserError, match="line 2: .*--quoting=off"):
    texts(table_of(path).rows())
  assert texts(table_of(path, skips=True).rows()) == [("f", "g", "h")]


def test_columns_in_quotes_are_told(tmp_path, caplog):
  path = tmp_path / "x.tsv"
  path.write_text('"sentence1"\t"sentence2"\t"label"\n"a"\t"b"\t"1"\n')
  assert texts(table_of(path).rows()) == [('"a"', '"b"', '"1"')]
  assert "--quoting=on reads them as quotes" in caplog.text
  assert texts(table_of(path, quoting="on").rows()) == [("a", "b", "1")]


@pytest.mark.parametrize(
  "line, complaint",
  [
    (
      r'{"sentence1": "x \ud800", "sentence2": "b", "label": 1}',
      r"\\ud800, hal",
    ),
    (
      r'{"sentence1": "x", "sentence2": "b", "label": "\udc00"}',
      "lone surroga",
    ),
    (
      '{"sentence1": "x", "sentence2": NaN, "label": 1}',
      "the second sentence is NaN",
    ),
    (
      '{"sentence1": "x", "sentence2": "b", "label": Infinity}',
      "is Infinity",
    ),
    ('{"sentence1": ["x"], "sentence2": "b", "label": 1}', "is a list, but"),
    ('{"sentence1": "x", "sentence2": {}, "label": 1}', "is an object, but"),
    ("[" * 100_000, "nested too deep"),
    ('{"label": ' + "1" * 5000 + "}", "too many digits"),
    ("{}", "there is no sentence1, sentence2, label"),
    ("\ufeff{}", "no JSON object"),
  ],
)
def test_what_is_no_row_of_json_is_named_or_left_out(tmp_path, line, complaint):
  good = '{"sentence1": "a", "sentence2": "b", "label": 1, "n": NaN}'
  path = tmp_path / "x.jsonl"
  path.write_text(f"{good}\n\n{line}\n{good}")
  with pytest.raises(
    UserError, match=f"x.jsonl, line 3: .*{complaint}"
  ) as error:
    texts(table_of(path).rows())
  assert len(str(error.value)) < 300
  table = table_of(path, skips=True)
  assert [row.number for row in table.rows()] == [0, 2]
  path.write_text(f"{line}\n{good}\n")
  assert [row.number for row in table_of(path, skips=True).rows()] == [1]


@pytest.mark.parametrize("name", FORMS)
def test_blank_lines_marks_and_missing_ends_change_no_row(tmp_path, name):
  rows = [["a", "b", "no"], ["c", "d", "yes"]]
  path = tmp_path / name
  plain = encoded(name, rows)
  for content in (
    plain.rstrip(b"\n"),
    b"\xef\xbb\xbf" + plain,
    plain.replace(b"\n", b"\r\n"),
    plain.replace(b"\n", b"\r"),
    plain.replace(b"\n", b"\n\n"),
    plain + b"\n\r\n",
  ):
    path.write_bytes(content)
    assert values_in(path, FORMS[name]) == rows
    assert [row.number for row in table_of(path).rows()] == [0, 1]
  path.write_bytes(plain[: plain.find(b"\n") + 1])
  assert len(values_in(path, FORMS[name])) == (name == "x.jsonl")

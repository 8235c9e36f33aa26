"""Text files of pairs: what is read, what is guessed, what is refused."""

import bz2
import gzip
import json
import lzma

import pytest

from engine.errors import UserError
from tasks.answers import Classes
from tasks.data.columns import GUESS, open_table
from tasks.data.forms import FormSettings
from tasks.data.labels import find_classes
from tasks.data.tables import Choice, Roles, pairs_of

ROWS = [(f"one {i}", f"two, {i}", "yes" if i % 3 else "no") for i in range(10)]


def write(path, rows=ROWS, columns=("sentence1", "sentence2", "label")):
  """Writes a file of the form that its name says."""
  name = path.name.removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz")
  if name.endswith(".jsonl"):
    lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
  elif name.endswith(".csv"):
    quoted = lambda row: ",".join('"' + x.replace('"', '""') + '"' for x in row)
    lines = [quoted(row) for row in (columns, *rows)]
  else:
    lines = ["\t".join(row) for row in (columns, *rows)]
  packer = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
  text = "".join(f"{line}\n" for line in lines).encode()
  path.write_bytes(packer.get(path.suffix, bytes)(text))
  return path


def table_of(
  pattern,
  text_a=GUESS,
  text_b=GUESS,
  label=GUESS,
  weight="",
  file_format="auto",
  quoting="auto",
  columns=(),
  **choice,
):
  return open_table(
    str(pattern),
    Roles(text_a, text_b, label, weight),
    setting="train_file",
    form=FormSettings(file_format, quoting, columns),
    choice=Choice(**choice),
  )


def texts(rows):
  return [(row.text_a, row.text_b, row.label) for row in rows]


@pytest.mark.parametrize(
  "name", ["x.tsv", "x.csv", "x.jsonl", "x.txt.gz", "x.csv.bz2", "x.tsv.xz"]
)
@pytest.mark.parametrize("size", [1, 3, 10, 99])
def test_ranges_of_a_file_are_its_rows(tmp_path, name, size):
  table = table_of(write(tmp_path / name))
  assert texts(table.rows()) == ROWS
  seen = []
  cuts = list(table.cuts(size, seen.append))
  assert [cut.count for cut in cuts] == [
    min(size, 10 - k) for k in range(0, 10, size)
  ]
  for cut in reversed(cuts):  # Each is read by itself.
    first = sum(x.count for x in cuts[: cuts.index(cut)])
    rows = list(table.read(cut))
    assert texts(rows) == ROWS[first : first + size]
    assert rows[0].place == seen[first].place


def test_several_files_and_globs_are_one_table(tmp_path):
  write(tmp_path / "b.tsv", ROWS[5:])
  write(tmp_path / "a.tsv", ROWS[:5])
  write(tmp_path / "other.csv.gz", [("x", "y", "no")])
  table = table_of(f"{tmp_path}/?.tsv")
  assert texts(table.rows()) == ROWS
  assert [cut.count for cut in table.cuts(4)] == [4, 1, 4, 1]


@pytest.mark.parametrize("name", ["x.tsv", "x.csv"])
def test_each_file_has_the_columns_of_the_first(tmp_path, name):
  (tmp_path / "a").mkdir()
  first = write(tmp_path / "a" / name, ROWS[:5])
  other = ("label", "n", "sentence2", "sentence1")  # In any order, with others.
  rows = [(c, "7", b, a) for a, b, c in ROWS[5:]]
  second = write(tmp_path / name, rows, other)
  assert texts(table_of(f"{first},{second}").rows()) == ROWS
  write(second, rows, ("label", "n", "second", "sentence1"))
  table = table_of(f"{first},{second}", skips=True)
  with pytest.raises(UserError, match=r"'second'.*but not \['sentence2'\]"):
    list(table.rows())


def test_quotes_hold_tabs_and_ends_of_lines(tmp_path):
  rows = [('say "a,b"', "two\nlines", "no"), ("x", "y", "yes")]
  table = table_of(write(tmp_path / "x.csv", rows))
  assert texts(table.rows()) == rows
  first, second = table.cuts(1)
  assert (second.line, texts(table.read(second))) == (4, rows[1:])
  path = tmp_path / "x.tsv"
  path.write_text('sentence1\tsentence2\tlabel\n"a\tb"\t1\n', "utf-8")
  assert texts(table_of(path).rows()) == [('"a', 'b"', "1")]
  path.write_text('sentence1\tsentence2\tlabel\n"a\tb"\tc\t1\n', "utf-8")
  assert texts(table_of(path, quoting="on").rows()) == [("a\tb", "c", "1")]


@pytest.mark.parametrize(
  "columns, found",
  [
    (("sentence_A", "sentence_B", "entailment_judgment"), True),
    (("premise", "hypothesis", "gold_label"), True),
    (("question1", "question2", "is_duplicate"), True),
    (("question", "sentence", "label"), True),
    (("q1", "q2", "similarity"), True),
    (("#1 String", "#2 String", "Quality"), True),
    (("left", "right", "label"), "text_a"),
    (("premise", "right", "label"), "text_b"),
  ],
)
def test_columns_are_guessed_where_they_are_clear(tmp_path, columns, found):
  path = write(tmp_path / "x.tsv", columns=columns)
  if found is True:
    assert texts(table_of(path).rows()) == ROWS
    return
  with pytest.raises(UserError, match=f"{columns[1]}.*--{found}=COLUMN"):
    table_of(path)
  names = dict(zip(("text_a", "text_b", "label"), columns, strict=True))
  assert texts(table_of(path, **names).rows()) == ROWS


def test_a_sentence_alone_is_called_otherwise(tmp_path):
  path = write(tmp_path / "x.tsv", columns=("n", "sentence", "label"))
  table = table_of(path, text_b="")
  assert texts(table.rows()) == [(b, "", c) for _, b, c in ROWS]
  with pytest.raises(UserError, match="nothing is called like `text_a`"):
    table_of(path)


def test_two_columns_that_could_be_it_are_not_guessed(tmp_path):
  path = tmp_path / "x.tsv"
  path.write_text("sentence1\tpremise\thypothesis\nx\ty\tz\n")
  with pytest.raises(UserError, match="could be each of .*sentence1.*premise"):
    table_of(path)


def test_a_column_that_is_not_there_is_named_beside_those_that_are(tmp_path):
  path = write(tmp_path / "x.tsv")
  with pytest.raises(
    UserError,
    match="sentence1.*`text_a` is 'first', which is not there: say --text_a",
  ):
    table_of(path, text_a="first")


@pytest.mark.parametrize(
  "labels, classes",
  [
    (["10", "9", "2"], ("2", "9", "10")),
    (["no", "maybe", "yes"], ("maybe", "no", "yes")),
    (["1", "x", "10"], ("1", "10", "x")),
  ],
)
def test_classes_are_the_labels_that_occur(tmp_path, labels, classes):
  rows = [("a", "b", label) for label in labels]
  table = table_of(write(tmp_path / "x.tsv", rows))
  assert find_classes(table) == classes
  pairs = pairs_of(table.rows(), Classes(classes))
  assert [classes[i] for i in pairs.labels] == labels
  assert list(pairs.ids) == [0, 1, 2]
  with pytest.raises(UserError, match=f"line 2: the label '{labels[0]}'"):
    others = [f"not {x}" if x == labels[0] else x for x in classes]
    pairs_of(table.rows(), Classes(others))


def test_json_numbers_and_truths_are_labels(tmp_path):
  rows = [("a", "b", 1), ("a", "b", 0.0), ("a", "b", True)]
  table = table_of(write(tmp_path / "x.jsonl", rows))
  assert [row.label for row in table.rows()] == ["1", "0", "1"]


def test_what_is_no_class_is_refused(tmp_path):
  rows = [("a", "b", f"c{i}") for i in range(1200)]
  with pytest.raises(UserError, match="more than 1000: .*--kind=regression"):
    find_classes(table_of(write(tmp_path / "x.tsv", rows)))
  with pytest.raises(UserError, match="two classes or more"):
    find_classes(table_of(write(tmp_path / "x.tsv", rows[:1])))
  path = write(tmp_path / "x.tsv", columns=("sentence1", "sentence2", "z"))
  with pytest.raises(UserError, match="'z'.*--label=COLUMN"):
    find_classes(table_of(path))


BAD = {
  "x.tsv": ["a\tb\tyes\tmore", "a", "a\t \tyes"],
  "x.csv": ["a,b", '"a,b,yes"x', "a,,yes"],
  "x.jsonl": ["{", "[1]", '{"sentence1": "a"}', '{"sentence1": 1, "sent": 2}'],
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_or_passed_over(tmp_path, name):
  for bad in BAD[name]:
    path = write(tmp_path / name)
    lines = path.read_text().splitlines()
    lines.insert(4, bad)
    path.write_text("\n".join([*lines, "", ""]))
    with pytest.raises(UserError, match=rf"{name}, line 5: "):
      list(table_of(path).rows())
    table = table_of(path, skips=True)
    assert texts(table.rows()) == ROWS
    row = 3 + name.endswith("l")  # JSON lines have no header.
    assert [*table.left.bad] == [row]
    numbers = [*range(row), *range(row + 1, 11)]
    assert [row.number for row in table.rows()] == numbers
    cuts = list(table.cuts(3))
    assert (table.left.rows, [*table.left.bad]) == (11, [row])
    found = [row for cut in cuts for row in table.read(cut)]
    assert (texts(found), [row.number for row in found]) == (ROWS, numbers)


def test_a_file_without_a_header_has_its_columns_named(tmp_path):
  path = tmp_path / "x.data"
  path.write_text("a\tb\tyes\t1\nc\td\tno\t2\n")
  with pytest.raises(UserError, match="--file_format=tsv"):
    table_of(path)
  with pytest.raises(
    UserError,
    match="'a', 'b', 'yes'.*=COLUMN --text_b=COLUMN, or name all by --columns=",
  ):
    table_of(path, file_format="tsv")
  named = {"file_format": "tsv", "columns": ("premise", "answer", "label", "n")}
  table = table_of(path, **named)
  assert texts(table.rows()) == [("a", "b", "yes"), ("c", "d", "no")]
  path.write_text("\ufeffa\tb\tyes\nc\td\tno\t2\n")
  with pytest.raises(UserError, match="line 1: 3 columns, but --columns names"):
    list(table_of(path, **named).rows())


def test_a_header_of_usual_names_is_no_pair(tmp_path):
  path = write(tmp_path / "x.tsv", columns=("Premise", "hypothesis", "gold"))
  with pytest.raises(UserError, match="x.tsv has a header, as 'Premise' in"):
    table_of(path, columns=("text_a", "text_b", "label"))
  first = tmp_path / "a.tsv"
  first.write_text("a\tb\tyes\n")
  with pytest.raises(UserError, match="x.tsv has a header, as 'Premise' in"):
    table_of(f"{first},{path}", columns=("text_a", "text_b", "label"))
  table = table_of(path)
  assert texts(table.rows()) == ROWS
  path.write_text("text\tclass\nsentence\tno\n")
  named = {"text_b": "", "columns": ("text_a", "label")}
  with pytest.raises(UserError, match="x.tsv has a header, as 'text' in"):
    table_of(path, **named)
  path.write_text("a\tb\tc\nd\tno\n")  # Its first row is bad.
  assert texts(table_of(path, skips=True, **named).rows()) == [("d", "", "no")]
  path.write_text("sentence\tno\n")
  assert texts(table_of(path, **named).rows()) == [("sentence", "", "no")]


def test_pairs_without_a_label_are_left_out_or_refused(tmp_path):
  rows = [("a", "b", "-"), ("c", "d", "yes")]
  path = write(tmp_path / "x.tsv", rows)
  assert len(texts(table_of(path).rows())) == 2
  table = table_of(path, unlabelled="-")
  assert texts(table.rows()) == rows[1:]
  assert (table.left.unlabelled, next(table.rows()).number) == ([0], 1)
  path = write(tmp_path / "x.csv", [("a", "b", ""), rows[1]])
  with pytest.raises(UserError, match="line 2: the label is empty.*--skip_bad"):
    list(table_of(path).rows())
  assert texts(table_of(path, skips=True).rows()) == rows[1:]
  assert texts(table_of(path, unlabelled="").rows()) == rows[1:]


def test_a_column_that_is_there_twice_is_not_taken(tmp_path):
  path = write(tmp_path / "x.tsv", columns=("premise", "premise", "label"))
  with pytest.raises(UserError, match="each of"):
    table_of(path)
  with pytest.raises(UserError, match="'premise', which is more than once"):
    table_of(path, text_a="premise", text_b="premise")


def test_a_quote_that_stays_open_costs_one_line(tmp_path):
  path = write(tmp_path / "x.csv")
  lines = path.read_text().splitlines()
  lines.insert(5, '"open,b,yes')
  path.write_text("\n".join(lines))
  with pytest.raises(UserError, match="line 6: .*--quoting=off"):
    list(table_of(path).rows())
  table = table_of(path, skips=True)
  assert (texts(table.rows()), [*table.left.bad]) == (ROWS, [4])


def test_labels_that_differ_in_case_alone_are_told(tmp_path, caplog):
  rows = [("a", "b", label) for label in ("Yes", "no", "yes")]
  assert len(find_classes(table_of(write(tmp_path / "x.tsv", rows)))) == 3
  assert "differ in case alone: ['Yes', 'no', 'yes']" in caplog.text


def test_what_is_no_text_is_refused(tmp_path):
  path = write(tmp_path / "x.tsv")
  path.write_bytes(path.read_bytes() + b"\xff\tb\tyes\n")
  with pytest.raises(UserError, match="line 12: byte 0xff"):
    list(table_of(path).rows())
  assert texts(table_of(path, skips=True).rows()) == ROWS
  for name in ("y.tsv.gz", "y.csv.gz"):
    packed = write(tmp_path / name)
    packed.write_bytes(packed.read_bytes()[:-12])
    for skips in (False, True):
      with pytest.raises(UserError, match=f"{name}, line .*bring back a whole"):
        list(table_of(packed, skips=skips).rows())


@pytest.mark.parametrize(
  "name, complaint",
  [
    ("none.tsv", "finds no file"),
    ("x.parquet", "ends neither in .tsv.*--file_format"),
    ("empty.csv", "is empty"),
  ],
)
def test_files_that_cannot_be_are_refused(tmp_path, name, complaint):
  for there in ("x.parquet", "empty.csv"):
    (tmp_path / there).write_text("")
  with pytest.raises(UserError, match=complaint):
    table_of(tmp_path / name)

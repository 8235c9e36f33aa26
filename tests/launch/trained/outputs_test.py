"""Predictions are written by name: a table, JSON lines, or lines."""

import csv
import io
import json

import pytest

from launch.trained.inputs import Row
from launch.trained.outputs import Said, Written, form_of

TEXTS = {"text_a": "a,\tb", "text_b": "c"}
VALUES = {"label": "no", "probabilities": {"no": 0.75, "yes": 0.25}}


def said(form="tsv", values=VALUES, **fields):
  given = {} if values is None else {**values, **TEXTS}
  return Said(
    Row("x, line 2", "a\tc", 0, form, fields),
    given if values else None,
    cut=False if values else None,
  )


def written(form, *rows):
  lines = Written(form)
  return [*lines.lines(rows), *lines.rest()]


@pytest.mark.parametrize(
  ("name", "form"),
  [
    ("x.csv", "csv"),
    ("x.TSV", "tsv"),
    ("a.csv/x.jsonl", "json"),
    ("-", None),
    ("x", None),
  ],
)
def test_the_name_of_an_output_says_its_form(name, form):
  assert form_of(name) == form


def test_a_table_keeps_columns_and_adds_what_is_said():
  header, row = csv.reader(written("csv", said(id="7", premise="a,\tb")))
  assert dict(zip(header, row, strict=True)) == {
    "id": "7",
    "premise": "a,\tb",
    "label": "no",
    "probabilities.no": "0.7500",
    "probabilities.yes": "0.2500",
    "truncated": "False",
  }


@pytest.mark.parametrize("text", ["a\nb", "a\rb", 'a"b', "a,b", " a\r\n"])
def test_a_cell_of_csv_is_one_whatever_is_in_it(text):
  lines = written("csv", said(note=text), said(note=text))
  found = [*csv.DictReader(io.StringIO("".join(f"{x}\n" for x in lines)))]
  assert [row["note"] for row in found] == [text, text]


def test_columns_of_the_input_are_as_exact_as_they_were():
  (row,) = csv.DictReader(
    written("csv", said(x=0.123456789, y=None, z=[1, "a"], t=True))
  )
  found = [row[name] for name in "xyzt"]
  assert found == ["0.123456789", "", '[1, "a"]', "true"]


def test_a_label_that_somebody_gave_is_kept():
  (line,) = written("json", said("json", label="yes"))
  record = json.loads(line)
  assert (record["label"], record["predicted_label"]) == ("yes", "no")
  (row,) = csv.DictReader(written("csv", said(label="yes")))
  assert (row["label"], row["predicted_label"]) == ("yes", "no")


CHAINED = {
  "predicted_label": "x",
  "label": "y",
  "probabilities.no": "0.1",
  "truncated": "z",
}


def test_what_another_run_has_said_is_kept():
  (row,) = csv.DictReader(written("csv", said(**CHAINED)))
  assert row == {
    **CHAINED,
    "predicted_predicted_label": "no",
    "predicted_probabilities.no": "0.7500",
    "predicted_probabilities.yes": "0.2500",
    "predicted_truncated": "False",
  }
  record = json.loads(*written("json", said("json", **CHAINED)))
  assert record.items() >= CHAINED.items()
  assert record["predicted_predicted_label"] == "no"
  assert record["predicted_probabilities"] == VALUES["probabilities"]


@pytest.mark.parametrize(
  "fields", [{"id": "7"}, {"predicted_label": "x"}, CHAINED]
)
def test_a_table_goes_on_with_its_columns(fields):
  rows, bad = [said(**fields)] * 2, said(values=None)
  whole = written("csv", rows[0], bad, rows[1])
  table = Written("csv")
  first = [*table.lines(rows[:1])]
  rest = Written("csv", table.columns).lines([bad, rows[1]])
  assert [*first, *rest] == whole
  marked = whole[2].split(",").index("unreadable")
  assert whole[1].split(",")[marked] == "no"


def test_columns_that_only_later_rows_have_are_told():
  table = Written("csv")
  rows = [said("json", id=1), said("json", id=2, label="mine", note="x")]
  *_, last = table.lines(rows)
  assert last == "2,no,0.7500,0.2500,False"
  assert [*table.left_out] == ["label", "note"]


def test_lines_have_a_table_by_the_name_of_the_output():
  header, row = written("tsv", said("lines"))
  assert header.split("\t")[:3] == ["text_a", "text_b", "label"]
  assert row.split("\t")[:3] == ["a, b", "c", "no"]


def test_without_a_name_the_output_is_like_the_input():
  assert written(None, said("lines")) == ["no\tno=0.7500\tyes=0.2500\ta, b\tc"]
  assert written(None, said(id="7"))[0].startswith("id\tlabel\t")
  assert written(None, said("csv", id="7"))[0].startswith("id,label,")
  assert json.loads(*written(None, said("json", id=7)))["id"] == 7


def test_rows_that_cannot_be_read_are_marked_in_their_place():
  bad = said(values=None)
  assert written("csv", bad, said(id="7"), bad) == [
    "id,label,probabilities.no,probabilities.yes,truncated",
    ",unreadable,,,",
    "7,no,0.7500,0.2500,False",
    ",unreadable,,,",
  ]
  assert written("csv", bad) == ["label", "unreadable"]
  assert written("json", bad) == ['{"unreadable": true}']

"""Predictions have a line for each row of the input, whatever is wrong."""

import bz2
import gzip
import io
import json
import types

import numpy as np
import pytest

from engine.errors import UserError
from launch.trained import predictions
from launch.trained.inputs import open_input
from launch.trained.predictions import predict, predict_lines, predict_split


def predicted(run, path, content):
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return [line.split("\t") for line in lines_of(run, str(path))]


def lines_of(run, path):
  return [*predict_lines(run, open_input(path, run.task.config, "pair"), 4)]


def test_what_is_no_number_is_not_predicted(build, monkeypatch):
  def of_weights_that_are_too_large(**_):
    outputs = np.array([[0.0, 1.0], [np.inf, 1.0]], np.float32)
    return types.SimpleNamespace(predictions=lambda: {"outputs": outputs})

  run = build()
  source = run.task.read_inputs([("1", "a\tb"), ("2", "c\td")])
  monkeypatch.setattr(predictions, "Evaluator", of_weights_that_are_too_large)
  with pytest.raises(UserError, match="`probabilities` of an example is no nu"):
    predict(run, source)


@pytest.mark.parametrize(
  "text_a",
  ["{hello} world", "{", '{"text_a": "x", "text_b": "y"}', "[1]", '"a', "a\rb"],
)
def test_a_text_that_looks_like_json_is_a_text(build, tmp_path, text_a):
  lines = predicted(
    build(), tmp_path / "x.tsv", f"{text_a}\ta sentence\nx\ty\n"
  )
  assert [line[-2:] for line in lines] == [
    [text_a.replace("\r", " "), "a sentence"],  # In one line.
    ["x", "y"],
  ]
  run = build(text_b="")
  lines = predicted(run, tmp_path / "y.tsv", f"x\n{text_a}\ny\n")
  assert len(lines) == 3


def test_most_lines_decide_what_the_input_is(build, tmp_path):
  run = build(skip_bad_lines=True)
  good = json.dumps({"text_a": "a {x}", "text_b": "b"})
  lines = predicted(run, tmp_path / "x", f"{good}\n{{broken\n{good}\n")
  found = [json.loads(*line) for line in lines]
  assert [x.get("text_a") for x in found] == ["a {x}", None, "a {x}"]
  assert found[1] == {"unreadable": True}


@pytest.mark.parametrize(
  "bad",
  [
    b"one\n",
    b"a\t \n",
    b"\xff\tb\n",
    b"\n",
    b"a\tb\tc\n",
    b'{"text_a": "x", "text_b": "y"}\n',
  ],
)
def test_a_bad_line_is_refused_or_marked(build, tmp_path, caplog, bad):
  content = b"a\tb\n" + bad + b"c\td\n\n\n"
  with pytest.raises(UserError, match="x.tsv, line 2: "):
    predicted(build(), tmp_path / "x.tsv", content)
  lines = predicted(build(skip_bad_lines=True), tmp_path / "x.tsv", content)
  assert [line[-1] for line in lines] == ["b", "unreadable", "d"]
  assert "1 of 3 rows cannot be read and are marked 'unreadable': row 1" in (
    caplog.text
  )
  assert "the first: " in caplog.text


def test_lines_of_which_none_can_be_read_are_marked(build, tmp_path):
  lines = predicted(build(skip_bad_lines=True), tmp_path / "x.tsv", "a\nb\n")
  assert lines == [["unreadable"], ["unreadable"]]


def test_half_a_character_is_no_text(build, tmp_path):
  content = '{"text_a": "x \\ud83d", "text_b": "y"}\n'
  with pytest.raises(UserError, match=r"line 1: .*has \\ud83d, half of a char"):
    predicted(build(), tmp_path / "x.jsonl", content)
  deep = "[" * 100_000 + "\n" + '{"text_a": "x", "text_b": "y"}\n'
  with pytest.raises(UserError, match="line 1: .*too deep"):
    predicted(build(), tmp_path / "x.jsonl", deep)


def test_packed_lines_are_unpacked(build, tmp_path, monkeypatch):
  text = b"\xef\xbb\xbfa\tb\nc\td\n"
  for ending, pack in ((".gz", gzip.compress), (".bz2", bz2.compress)):
    lines = predicted(build(), tmp_path / f"x.tsv{ending}", pack(text))
    assert [line[-2:] for line in lines] == [["a", "b"], ["c", "d"]]
  stdin = types.SimpleNamespace(buffer=io.BytesIO(gzip.compress(text)))
  monkeypatch.setattr("sys.stdin", stdin)
  assert len(lines_of(build(), "-")) == 2
  with pytest.raises(UserError, match="not packed as its name says"):
    predicted(build(), tmp_path / "x.tsv.gz", text)
  with pytest.raises(UserError, match="bring back a whole one"):
    predicted(build(), tmp_path / "x.tsv.gz", gzip.compress(text)[:-4])


ROWS = [
  "a\tb\tyes",
  "c\td\t-",
  "e\t\tno",
  "g\th\tmaybe",
  "",  # No row.
  "one",
  "k\tl\tno",
]


@pytest.mark.parametrize("large", [False, True])
def test_a_split_has_a_line_for_each_row(build, tmp_path, monkeypatch, large):
  if large:
    monkeypatch.setattr("tasks.data.pairs_on_disk.LARGE", 0)
  path = tmp_path / "dev.tsv"
  path.write_text("\n".join(["text_a\ttext_b\tlabel", *ROWS]))
  files = {"eval_file": str(path), "unlabelled": "-"}
  with pytest.raises(UserError, match="line 4: the second sentence is empty"):
    [*predict_split(build(**files), "dev", 4)]
  run = build(**files, skip_bad_lines=True)
  lines = [x.split("\t") for x in predict_split(run, "dev", 4)]
  assert [int(number) for number, _ in lines[1:]] == [0, 1, 2, 3, 4, 5]
  marked = [said == "unreadable" for _, said in lines[1:]]
  assert marked == [False, False, True, False, True, False]


def test_rows_without_a_label_do_not_shift_ids(build, tmp_path, caplog):
  path = tmp_path / "dev.tsv"
  path.write_text(
    "\n".join(["text_a\ttext_b\tlabel", *ROWS[:2], ROWS[5], ROWS[-1]])
  )
  run = build(eval_file=str(path), unlabelled="-", skip_bad_lines=True)
  assert run.task.source("dev").ids(range(2)) == [0, 3]
  assert (
    f"{path}: left out 2 of 4 rows, numbered from 0: 1 bad (row 2; the first: "
    "line 4: 1 columns, but the header has 3), 1 without a label (row 1)."
  ) in caplog.text

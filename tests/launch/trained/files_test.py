"""A file of rows becomes a file of predictions, whatever interrupts it."""

import csv
import dataclasses
import json
import os

import pytest

from engine.errors import UserError
from launch.trained import predictions
from launch.trained.files import Seen, predict_file, write_lines
from launch.trained.inputs import open_input
from tasks.config import SentencePairConfig


class Killed(BaseException):
  pass


def rows_in(path, count):
  lines = [f"{i}\tfirst {i}\tsecond" for i in range(count)]
  path.write_text("\n".join(["id\ttext_a\ttext_b", *lines]) + "\n")
  return path


def predict(run, path, output):
  predict_file(run, open_input(str(path), run.task.config, "pair"), output, 4)


def asked(monkeypatch, *, kill_at=None):
  """Counts the sources that the model is asked about; may be killed at one."""
  sizes, ask = [], predictions.predict

  def counted(restored, source, batch_size):
    if len(sizes) == kill_at:
      raise Killed
    sizes.append(len(source))
    return ask(restored, source, batch_size)

  monkeypatch.setattr(predictions, "predict", counted)
  return sizes


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_a_killed_prediction_goes_on_and_ends_as_a_whole_one(
  build,
  tmp_path,
  monkeypatch,
  ending,
):
  monkeypatch.setattr(predictions, "_CHUNK", 3)
  run, path = build(), rows_in(tmp_path / "x.tsv", 11)
  whole, output = (str(tmp_path / f"{x}.{ending}") for x in ("whole", "out"))
  predict(run, path, whole)
  with monkeypatch.context() as patch:
    sizes = asked(patch, kill_at=2)
    with pytest.raises(Killed):
      predict(run, path, output)
  assert sizes == [3, 3]
  sizes = asked(monkeypatch)
  predict(run, path, output)
  assert sizes == [3, 2]  # Nothing is asked twice.
  with open(whole, "rb") as a, open(output, "rb") as b:
    assert a.read() == b.read()
  names = {x.name for x in tmp_path.iterdir()}
  assert names == {"x.tsv", f"whole.{ending}", f"out.{ending}"}


def test_an_input_that_has_changed_is_another_one(
  build,
  tmp_path,
  monkeypatch,
):
  run, path = build(), rows_in(tmp_path / "x.tsv", 2)
  output = str(tmp_path / "out.csv")
  with monkeypatch.context() as patch:
    patch.setattr(predictions, "_CHUNK", 1)
    asked(patch, kill_at=1)
    with pytest.raises(Killed):
      predict(run, path, output)
  state = path.stat()
  path.write_text(path.read_text().replace("first 0", "other 0"))
  os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
  with pytest.raises(UserError, match="was not begun by this run"):
    predict(run, path, output)
  rows_in(path, 3)  # It has grown behind the row that was read.
  predict(run, path, output)
  with open(output) as file:
    assert [row["id"] for row in csv.DictReader(file)] == ["0", "1", "2"]


def test_other_models_are_other_ones(build, tmp_path, monkeypatch):
  run, path = build(), rows_in(tmp_path / "x.tsv", 3)
  output = str(tmp_path / "out.csv")
  with monkeypatch.context() as patch:
    patch.setattr(predictions, "_CHUNK", 1)
    asked(patch, kill_at=1)
    with pytest.raises(Killed):
      predict(run, path, output)
  for other in (
    dataclasses.replace(run, symmetric=True),
    dataclasses.replace(run, others=(run,)),
  ):
    with pytest.raises(UserError, match="was not begun by this run"):
      predict(other, path, output)


def test_an_output_that_exists_is_left(build, tmp_path):
  run, path = build(), rows_in(tmp_path / "x.tsv", 2)
  output = tmp_path / "out.csv"
  output.write_text("precious")
  with pytest.raises(UserError, match="exists: remove it"):
    predict(run, path, str(output))
  assert output.read_text() == "precious"


@pytest.mark.parametrize("name", ["out.csv", "out.txt"])
@pytest.mark.parametrize(
  "come",
  [
    lambda x: x.write_text("precious"),
    lambda x: x.mkdir(),
    lambda x: x.symlink_to("nowhere"),
  ],
)
def test_an_output_that_comes_to_be_meanwhile_is_left(
  build, tmp_path, monkeypatch, name, come
):
  run, path = build(), rows_in(tmp_path / "x.tsv", 2)
  output, ask, there = tmp_path / name, predictions.predict, []

  def late(*arguments):
    come(output)
    there.append(output.lstat())
    return ask(*arguments)

  monkeypatch.setattr(predictions, "predict", late)
  with pytest.raises(UserError, match="has come to be meanwhile") as refused:
    predict(run, path, str(output))
  assert os.path.samestat(output.lstat(), *there)
  (kept,) = tmp_path.glob(f"{name}.[0-9p]*[0-9t]")
  assert str(kept) in str(refused.value)
  assert len(kept.read_text().splitlines()) == 3


def test_a_link_to_itself_is_left(tmp_path):
  output = tmp_path / "s.tsv"
  output.symlink_to(output.name)
  with pytest.raises(UserError, match="these predictions are in"):
    write_lines(str(output), ["1"])
  assert output.is_symlink()
  assert (tmp_path / f"s.tsv.{os.getpid()}").read_text() == "1\n"


def test_lines_that_were_kept_stay(tmp_path):
  output, kept = tmp_path / "s.tsv", f"s.tsv.{os.getpid()}"
  (tmp_path / kept).write_text("precious")

  def lines():
    yield "1"
    output.symlink_to(output.name)

  with pytest.raises(UserError, match=f"these predictions are in .*/{kept}_"):
    write_lines(str(output), lines())
  assert output.is_symlink()
  assert (tmp_path / kept).read_text() == "precious"
  assert (tmp_path / f"{kept}_").read_text() == "1\n"


def test_what_a_killed_process_has_told_is_told_again(
  build, tmp_path, monkeypatch, caplog, capsys
):
  monkeypatch.setattr(predictions, "_CHUNK", 2)
  pair = {"text_a": "a", "text_b": "b"}
  lines = [pair, {**pair, "late": 1}, pair, [], pair]
  path = tmp_path / "x.jsonl"
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))
  run, output = build(skip_bad_lines=True), str(tmp_path / "out.csv")
  with monkeypatch.context() as patch:
    asked(patch, kill_at=1)
    with pytest.raises(Killed):
      predict(run, path, output)
  predict(run, path, output)
  assert "1 of 3 rows cannot be read" in caplog.text
  assert "row 3, from 0" in caplog.text
  assert "the first row has no ['late']" in capsys.readouterr().err


def test_bad_rows_are_marked_at_their_place(build, tmp_path, caplog):
  run, path = build(skip_bad_lines=True), tmp_path / "x.jsonl"
  good = json.dumps({"id": 5, "text_a": "a", "text_b": "b" * 400})
  path.write_text(
    f'{{"text_a": 1}}\n{good}\n[1]\n'.replace('{"text_a": 1}', good, 1)
  )
  output = str(tmp_path / "out.csv")
  predict(run, path, output)
  with open(output) as file:
    rows = [*csv.DictReader(file)]
  assert [row["id"] for row in rows] == ["5", "5", ""]
  assert [row["label"] for row in rows] == ["no", "no", "unreadable"]
  assert "1 of 3 rows cannot be read" in caplog.text


def test_what_was_cut_is_told(build, tmp_path):
  run, path = build(), tmp_path / "x.tsv"
  long = "word " * 40
  exact = "a " * 28 + "b"  # With [CLS] and two [SEP]: 32 tokens.
  path.write_text(f"short\ttext\n{long}\ttext\n{exact.strip()}\tc\n")
  output = str(tmp_path / "out.jsonl")
  predict(run, path, output)
  with open(output) as file:
    rows = [json.loads(line) for line in file]
  assert [row["truncated"] for row in rows] == [False, True, True]


def test_bytes_are_counted_over_all_files(tmp_path):
  for name in ("1.tsv", "2.tsv"):
    (tmp_path / name).write_text("a\tb\nc\td\n")
  given = open_input(str(tmp_path / "*.tsv"), SentencePairConfig(), "pair")
  seen = Seen(given)
  assert [seen.bytes for _ in seen] == [4, 8, 12, 16]
  assert given.size == 16

"""One decision on labels, in whatever files and however large they are."""

import json
import re

import pytest

from engine.errors import UserError
from launch.jobs.encoding import Plan
from tasks.config import SentencePairConfig
from tasks.data import datasets, pairs_on_disk
from tasks.sentence_pair import SentencePairTask
from tasks.tokens import shards
from tests.support.testing import tiny_task

FORMS = ["tsv", "csv", "jsonl", "large tsv", "large jsonl", "records"]
NAMES, DIGITS = ["no", "yes"], [0, 1]
NAN = float("nan")
LONG = "9" * 5000

# Labels to train on, labels to evaluate on, settings; then the numbers of the
# latter, or the line (of a file with a header) and what is said.
CASES = {
  "names": (NAMES, ["yes", "no"], {}, [1, 0]),
  "digits of names": (NAMES, [1, 0], {}, (2, "'1' is none of")),
  "places": (NAMES, [1, 0], {"classes": ("no", "yes")}, [1, 0]),
  "places as floats": (NAMES, [1.0], {"classes": ("no", "yes")}, [1]),
  "no place": (NAMES, [1, 2], {"classes": ("no", "yes")}, (3, "'2' is none")),
  "other digits": (DIGITS, [0], {"classes": ("3", "4")}, (2, "'0' is none")),
  "floats": (DIGITS, [1.0, 0.0], {}, [1, 0]),
  "zeros before": (DIGITS, ["01", "00"], {}, [1, 0]),
  "truths": ([False, True], [True, False], {}, [1, 0]),
  "truths of digits": (DIGITS, [True, False], {}, [1, 0]),
  "two writings": (["1", "2", "1.0"], ["1"], {}, (4, "'1' in another writing")),
  "both named": (["1", "1.0"], ["1.0"], {"classes": ("1", "1.0")}, [1]),
  "case": (["Yes", "no"], ["yes"], {}, (2, "though it looks like 'Yes'")),
  "spaces": (["yes ", "no"], [" yes", "no\u00a0"], {}, [1, 0]),
  "nan": (["a", "b", NAN], ["a"], {}, (4, "none")),
  "nan left out": (["a", "b", NAN], [NAN, "b"], {"unlabelled": "nan"}, [1]),
  "infinite": (["a", "b", "x"], ["Infinity"], {}, (2, "none")),
  "nothing": (["a", "b"], ["a", None], {}, (3, "no label|is empty")),
  "null": (["a", "b", "null"], ["a"], {}, (4, "none: .*--unlabelled=null")),
  "hidden": (NAMES, ["no", -1], {}, (3, "-1 often hides a label")),
  "hidden left out": (NAMES, ["no", -1.0], {"unlabelled": "-1"}, [0]),
  "minus one": ([-1, 1], [1, -1.0], {}, [1, 0]),
  "stranger": (NAMES, ["yes", "maybe"], {}, (3, "'maybe' is none of")),
  "few": (["a", "b", "c"], ["b"], {}, [1]),
  "one class": (["a", "a"], ["a"], {}, (None, "two classes or more")),
  "one class of two": (
    ["a", "a"],
    ["a"],
    {"classes": ("a", "b")},
    (None, "two classes or more"),
  ),
  "long": (["a", "b", LONG], ["a"], {}, (4, "5,000 characters")),
  "many digits": (["1", "9" * 900], ["9" * 900], {}, [1]),
  "fraction": (["1", "2", 0.5], ["1"], {}, (4, "--kind=regression")),
  "small": (["1", "2", 1e-7], ["1"], {}, (4, "--kind=regression")),
  "scores": ([0.5, 2], [1, True, 0.25], {"kind": "regression"}, [1, 1, 0.25]),
  "no score": (
    [0.5, "x"],
    [1],
    {"kind": "regression"},
    (3, "'x' is no number"),
  ),
  "nan score": ([0.5, NAN], [1], {"kind": "regression"}, (3, "no")),
  "huge score": ([0.5, "1e400"], [1], {"kind": "regression"}, (3, "not from")),
  "underscore": ([0.5, "1_0"], [1], {"kind": "regression"}, (3, "no number")),
}


def write(path, labels):
  """Writes a file of the form that its name says; nothing is an empty cell."""
  rows = [(f"one {i}", f"two {i}", label) for i, label in enumerate(labels)]
  names = ("text_a", "text_b", "label")
  if path.suffix == ".jsonl":
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
  else:
    between = {".tsv": "\t", ".csv": ","}[path.suffix]
    text = lambda x: "" if x is None else str(x)
    lines = [between.join(map(text, row)) for row in (names, *rows)]
  path.write_text("".join(f"{line}\n" for line in lines))
  return str(path)


def decided(directory, form, train, dev, settings, monkeypatch):
  """The labels of both splits; or the line at fault, and what is said."""
  directory.mkdir()
  size, _, kind = form.rpartition(" ")
  ending = "tsv" if kind == "records" else kind
  config = SentencePairConfig(
    name="pairs",
    encoder="tiny",
    train_file=write(directory / f"train.{ending}", train),
    eval_file=write(directory / f"dev.{ending}", dev),
    **settings,
  )
  monkeypatch.setattr(pairs_on_disk, "LARGE", 0 if size else 2**27)
  datasets.pairs_and_classes.cache_clear()
  try:
    if kind == "records":
      config = encoded(config, directory)
    task = SentencePairTask(config)
    return [task.source(x)._labels.tolist() for x in ("train", "dev")]
  except UserError as error:
    assert len(str(error).replace(str(directory), "")) < 300
    found = re.search(r"line (\d+): (.*)", str(error))
    if not found:
      return None, str(error)
    return int(found[1]) + (ending == "jsonl"), found[2]


def encoded(config, directory):
  out = str(directory / "records")
  plan = Plan.make(config, ["train", "dev"], size=99, directory=out)
  plan.claim(out)
  for shard in plan.shards:
    shards.write(shard)
  plan.finish(out)
  return SentencePairConfig(
    name="pairs",
    encoder="tiny",
    train_file=f"{out}/train-*",
    eval_file=f"{out}/dev-*",
    kind=config.kind,
  )


@pytest.mark.parametrize("case", CASES)
def test_a_label_is_the_same_in_all_files(case, tmp_path, monkeypatch):
  train, dev, settings, expected = CASES[case]
  for form in FORMS:
    directory = tmp_path / form.replace(" ", "_")
    found = decided(directory, form, train, dev, settings, monkeypatch)
    if isinstance(expected, list):
      assert found[1] == expected, form
    else:
      line, complaint = expected
      assert found[0] == line, (form, found)
      assert re.search(complaint, found[1]), (form, found)


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_a_label_of_two_lines_is_refused_with_its_line(tmp_path, name):
  labels = ['"ye\ns"', "no"] if name == "x.csv" else ["ye\ns", "no"]
  path = write(tmp_path / name, labels)
  with pytest.raises(UserError, match=r"line \d: the label 'ye\\ns' has a tab"):
    tiny_task(name="pairs", train_file=path)


def test_labels_that_differ_in_signs_that_nobody_sees_are_told(
  tmp_path, caplog
):
  labels = ["not same", "same", "not  same", "sam\u200be"]
  task = tiny_task(name="pairs", train_file=write(tmp_path / "x.csv", labels))
  assert len(task.classes) == 4
  assert "differ in spaces or signs alone: " in caplog.text


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_prediction_reads_no_labels(tmp_path, monkeypatch, large, split):
  monkeypatch.setattr(pairs_on_disk, "LARGE", 0 if large else 2**27)
  setting = {"dev": "eval_file", "test": "test_file"}[split]
  for name, labels in (
    ("x.jsonl", [-1, None, [1], "x\ny", NAN, "-"]),
    ("x.tsv", ["-1", "", "nan", "1e400", "-", "maybe"]),
  ):
    task = tiny_task(
      name="pairs",
      classes=("no", "yes"),
      unlabelled="-",
      **{setting: write(tmp_path / name, labels)},
    )
    assert len(task.read_split(split)) == 6
  (tmp_path / "bare.tsv").write_text("text_a\ttext_b\nx\ty\n")
  task = tiny_task(
    name="pairs",
    classes=("no", "yes"),
    label="gold",
    **{setting: str(tmp_path / "bare.tsv")},
  )
  assert len(task.read_split(split)) == 1


def test_hidden_labels_of_a_test_split_do_not_end_a_training(tmp_path, caplog):
  task = tiny_task(
    name="pairs",
    train_file=write(tmp_path / "train.tsv", NAMES),
    test_file=write(tmp_path / "test.tsv", [-1, -1]),
  )
  task.source("train")
  assert "2 of the 2 pairs of 'test' are in 'train' too" in caplog.text
  with pytest.raises(UserError, match="line 2: .*-1 often hides a label"):
    task.source("test")


def test_a_column_of_sentences_is_none_of_labels(tmp_path):
  path = write(tmp_path / "x.tsv", NAMES)
  with pytest.raises(UserError, match="`label` is 'text_a', which has sent"):
    tiny_task(name="pairs", train_file=path, label="text_a")


@pytest.mark.parametrize(
  "settings, complaint",
  [
    ({"classes": ("a",)}, "`classes` is 'a', but must be two or more"),
    ({"classes": ("a", "a")}, "all different"),
    ({"classes": ("a", "b\tc")}, r"'b\\tc', which has a tab"),
    ({"classes": ("a", " b")}, "' b', which has outer spaces"),
    ({"classes": ("a", "")}, "'', which is empty"),
    (
      {"kind": "regression", "class_weights": ("balanced",)},
      "`class_weights` .* since labels are scores",
    ),
    (
      {"kind": "regression", "positive": "yes"},
      "`positive` is 'yes'.* since labels are scores",
    ),
  ],
)
def test_settings_that_name_no_classes_are_refused(settings, complaint):
  with pytest.raises(UserError, match=complaint):
    tiny_task(name="pairs", **settings)

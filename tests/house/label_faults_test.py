"""Files of the kinds that public reports on labels are about, as they end."""

import collections
import csv
import json
import os

import numpy as np
import pytest

from engine.errors import UserError
from engine.task import WEIGHTS
from tasks.data import datasets, pairs_on_disk
from tests.support.testing import SHARED, tiny_task

FAULTS = os.path.join(SHARED, "faults")
pytestmark = pytest.mark.skipif(
  not os.path.isdir(FAULTS), reason="../shared/faults is not there"
)


def path_of(*names):
  return os.path.join(FAULTS, *names)


def labels_in(path, column):
  with open(path, encoding="utf-8-sig", newline="") as file:
    rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [row[column] for row in rows]


def task_of(folder, train="train.tsv", dev="dev.tsv", **settings):
  return tiny_task(
    name="pairs",
    train_file=path_of(folder, train) if train else "",
    eval_file=path_of(folder, dev) if dev else "",
    **settings,
  )


def weights_in(source):
  indices = np.arange(len(source))
  layout = source.layout(indices, batch_size=len(source), shares=1)
  batch = source.batch(indices, layout)
  return sorted(set(batch[WEIGHTS][batch["examples"] >= 0].tolist()))


def test_digits_are_not_places_in_names_that_were_found():
  named = task_of("names_then_digits", dev="dev_names.tsv")
  assert len(named.source("dev")) == len(
    labels_in(path_of("names_then_digits", "dev_names.tsv"), "label")
  )
  digits = {"folder": "names_then_digits", "dev": "dev_digits.tsv"}
  with pytest.raises(UserError, match="dev_digits.tsv, line 2: .*--classes"):
    task_of(**digits).source("dev")
  given = task_of(**digits, classes=named.classes[::-1]).source("dev")
  assert (
    given._labels.tolist() == named.source("dev")._labels.tolist()
    or (1 - given._labels).tolist() == named.source("dev")._labels.tolist()
  )


@pytest.mark.parametrize(
  "name, complaint",
  [
    ("text.jsonl", "line 4: the second sentence is NaN"),
    ("label.jsonl", r"line \d+: the label is NaN"),
  ],
)
def test_what_is_not_a_number_is_neither_word_nor_class(name, complaint):
  with pytest.raises(UserError, match=complaint):
    task_of("json_nan", train=name, dev="").source("train")


def test_labels_of_two_lines_are_refused(tmp_path):
  labels = "ye\ns", "n\to"
  rows = (f'a cat {i},a dog {i},"{labels[i % 2]}"' for i in range(40))
  (tmp_path / "n.csv").write_text("\n".join(["text_a,text_b,label", *rows]))
  with pytest.raises(UserError, match=r"line 2: the label 'ye\\ns' has a tab"):
    tiny_task(name="pairs", train_file=f"{tmp_path}/n.csv")


def test_large_files_have_class_weights(tmp_path, monkeypatch):
  monkeypatch.setattr(pairs_on_disk, "LARGE", 0)
  datasets.pairs_and_classes.cache_clear()
  rows = [f"cat {i}\tdog {i}\t{'no' if i % 5 else 'yes'}" for i in range(20)]
  (tmp_path / "large.tsv").write_text(
    "\n".join(["sentence1\tsentence2\tlabel", *rows])
  )
  task = tiny_task(
    name="pairs",
    train_file=f"{tmp_path}/large.tsv",
    classes=("no", "yes"),
    class_weights=("balanced",),
  )
  assert weights_in(task.source("train")) == pytest.approx([0.625, 2.5])
  names = ("entailment", "neutral", "contradiction")
  for split, count in (("train", 20), ("dev", 6)):
    lines = [
      json.dumps({"gold_label": names[i % 3], "sentence1": "a", "sentence2": x})
      for i, x in enumerate("bcdefghijklmnopqrstu"[:count])
    ]
    (tmp_path / f"snli_1.0_{split}.jsonl").write_text("\n".join(lines))
  task = tiny_task(
    name="snli", data_dir=str(tmp_path), class_weights=("balanced",)
  )
  assert weights_in(task.source("train")) == pytest.approx([20 / 21, 20 / 18])
  assert len(task.source("dev")) == 6


def test_pairs_that_weigh_nothing_are_counted(caplog):
  task = task_of("zero_weights", dev="", weight="weight")
  assert weights_in(task.source("train")) == [0.0, 1.0]
  assert "28 of 32 pairs of 'train' weigh 0 and teach nothing." in caplog.text


def test_all_rows_are_predicted_and_those_with_a_label_evaluated():
  task = task_of(
    "unlabelled_rows", train="../train.tsv", unlabelled="-", kind="classes"
  )
  labels = labels_in(path_of("unlabelled_rows", "dev.tsv"), "label")
  predicted = task.read_split("dev")
  assert predicted.ids(range(len(predicted)))[-1] >= len(labels) - 1
  assert len(predicted) == len(labels)
  assert len(task.source("dev")) == len(labels) - labels.count("-")


@pytest.mark.parametrize(
  "folder, column, settings",
  [
    ("three_classes", "gold_label", {}),
    ("few_pairs", "label", {"eval_file": path_of("few_pairs", "train.tsv")}),
    ("mrpc_official", "Quality", {"name": "mrpc"}),
  ],
)
def test_what_went_well_goes_well(folder, column, settings):
  files = {
    "name": "pairs",
    "train_file": path_of(folder, "train.tsv"),
    "eval_file": path_of(folder, "dev.tsv"),
  }
  if "name" in settings:
    files = {"data_dir": path_of(folder)}
  task = tiny_task(**{**files, **settings})
  for split in ("train", "dev"):
    name = "train" if folder == "few_pairs" else split
    said = collections.Counter(
      labels_in(path_of(folder, f"{name}.tsv"), column)
    )
    found = collections.Counter(task.source(split)._labels.tolist())
    assert sorted(found.values()) == sorted(said.values())
    assert len(task.classes) == len(said)


def test_scores_that_went_well_go_well():
  task = task_of("regression", kind="regression")
  for split in ("train", "dev"):
    said = labels_in(path_of("regression", f"{split}.tsv"), "score")
    assert task.source(split)._labels.tolist() == [float(x) for x in said]


def test_a_test_split_without_labels_is_predicted():
  task = tiny_task(name="mrpc", data_dir=path_of("mrpc_official"))
  assert len(task.read_split("test")) == len(
    labels_in(path_of("mrpc_official", "test.tsv"), "index")
  )

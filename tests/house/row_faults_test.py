"""Rows of the kinds that public reports are about end as they should."""

import dataclasses
import os

import pytest

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.data import datasets
from tasks.data.pairs import parse_pairs
from tests.launch.trained.conftest import build as build
from tests.support.testing import SHARED

FAULTS = os.path.join(SHARED, "faults")
pytestmark = pytest.mark.skipif(
  not os.path.isdir(FAULTS), reason="../shared/faults is not there"
)


def fault(*path):
  return os.path.join(FAULTS, *path)


def config_of(*path, **settings):
  return SentencePairConfig(name="pairs", train_file=fault(*path), **settings)


def pairs_in(*path, **settings):
  config = config_of(*path, **settings)
  return datasets.read_split(config, "train", datasets.answers_of(config))


def lines_of(build, *path, **settings):
  from launch.trained.inputs import open_input
  from launch.trained.predictions import predict_lines

  run = build(**settings)
  rows = open_input(fault(*path), run.task.config, "pair")
  return [*predict_lines(run, rows, 8)]


def test_a_row_that_is_passed_over_shifts_no_prediction(build):
  from launch.trained.predictions import predict_split

  run = build(
    test_file=fault("skipped_test_rows", "test.tsv"), skip_bad_lines=True
  )
  lines = [x.split("\t") for x in predict_split(run, "test", 8)][1:]
  assert [int(number) for number, _ in lines] == [*range(8)]
  assert [i for i, (_, said) in enumerate(lines) if said == "unreadable"] == [2]


def test_a_row_without_a_label_shifts_no_prediction(build):
  from launch.trained.predictions import predict_split

  run = build(eval_file=fault("unlabelled_rows", "dev.tsv"), unlabelled="-")
  lines = [*predict_split(run, "dev", 8)][1:]
  assert [int(x.split("\t")[0]) for x in lines] == [*range(12)]
  config = dataclasses.replace(run.task.config, classes=("other", "same"))
  pairs = datasets.read_split(config, "dev", datasets.answers_of(config))
  assert list(pairs.ids) == [0, 2, 3, *range(5, 12)]


@pytest.mark.parametrize(
  "path, line",
  [
    (("json_surrogate", "train.jsonl"), 8),
    (("surrogate_json", "surrogate.jsonl"), 3),
    (("surrogate_json", "deep.jsonl"), 3),
  ],
)
def test_json_that_is_no_text_is_named_or_left_out(path, line):
  with pytest.raises(UserError, match=f"line {line}: "):
    pairs_in(*path)
  pairs = pairs_in(*path, skip_bad_lines=True)
  assert [*pairs.unread] == [line - 1]


def test_half_a_character_in_lines_is_named_or_marked(build):
  path = ("json_surrogate", "pairs.jsonl")
  with pytest.raises(UserError, match="line 2: .*lone surrogate"):
    lines_of(build, *path)
  lines = lines_of(build, *path, skip_bad_lines=True)
  assert ["unreadable" in line for line in lines] == [False, True]


def test_a_field_of_csv_may_be_long():
  files = [("train.csv", "auto"), ("train.csv", "off"), ("train.tsv", "auto")]
  found = [pairs_in("long_csv_field", x, quoting=y) for x, y in files]
  assert max(map(len, found[0].texts_b + found[0].texts_a)) > 131_072
  assert found[0].texts_a == found[2].texts_a
  assert {len(pairs) for pairs in found} == {21}


def test_a_text_that_begins_with_a_brace_is_one(build):
  assert len(lines_of(build, "brace_line", "pairs.tsv")) == 2
  pairs = parse_pairs([("-, line 1", "{hello} world\ta")], single=False)
  assert pairs.texts_a == ["{hello} world"]


def test_packed_pairs_are_predicted(build):
  assert lines_of(build, "predict_gz", "pairs.tsv.gz")[0].endswith("dog moves")


GOOD = """Labels.tsv blank_end.tsv bom_crlf.csv bool.csv bool.jsonl
  float_labels2.csv mac.csv mac.tsv nul.csv nul.tsv pandas_index.csv
  r_quoted.tsv stray2.csv trail.tsv u2028.csv u2028.tsv""".split()  # noqa: SIM905
BAD = {
  "array.json": "no JSON object",
  "cut.tsv.gz": "bring back a whole one",
  "float_labels.csv": "line 4: the label is empty",
  "hf.json": "nothing is called like",
  "r_rownames.tsv": "4 columns, but the header has 3",
  "semicolon.csv": "nothing is called like",
  "sep.csv": "nothing is called like",
  "spaces_blank.tsv": "line 4: 1 columns",
  "stray.csv": "--quoting=off",
  "u2028.jsonl": "line 2: .*lone surrogate",
  "utf16.csv": "is UTF-16",
}


def test_odd_files_are_read():
  for name in GOOD:
    pairs = pairs_in("odd_files", name)
    assert len(pairs) == (3 if name == "Labels.tsv" else 2), name
    assert list(pairs.ids) == [*range(len(pairs))]


@pytest.mark.parametrize("name", BAD)
def test_odd_files_that_are_no_pairs_are_refused(name):
  with pytest.raises(UserError, match=BAD[name]) as error:
    pairs_in("odd_files", name)
  assert "\n" not in str(error.value)


def test_few_pairs_are_enough():
  assert len(pairs_in("few_pairs", "train.tsv")) == 3

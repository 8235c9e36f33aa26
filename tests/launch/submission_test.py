"""Files of predictions are as their leaderboards want them."""

import numpy as np
import pytest

from launch.trained.lines import table
from tasks import submission
from tasks.config import SentencePairConfig
from tasks.data.datasets import answers_of
from tasks.named_sets import NAMED_SETS
from tests.tasks.data.named_sets_test import LABELS, lay_out

SHARES = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
SCORES = np.array([5.7, -0.25, 1.23456])

WANTED = {
  "mrpc": ("MRPC.tsv", ["1", "0", "0"]),
  "rte": ("RTE.tsv", ["not_entailment", "entailment", "entailment"]),
  "qnli": ("QNLI.tsv", ["not_entailment", "entailment", "entailment"]),
  "wnli": ("WNLI.tsv", ["1", "0", "0"]),
  "qqp": ("QQP.tsv", ["1", "0", "0"]),
  "mnli": ("MNLI-m.tsv", ["neutral", "entailment", "contradiction"]),
  "snli": ("test.tsv", ["neutral", "entailment", "contradiction"]),
  "paws": ("test.tsv", ["paraphrase", "different", "different"]),
  "stsb": ("STS-B.tsv", ["5.000", "0.000", "1.235"]),
}


def lines_of(config, split, ids):
  classes = answers_of(config).classes
  shares = {"probabilities": SHARES[:, : len(classes)]}
  readings = shares if classes else {"score": SCORES}
  return list(
    table(
      submission.rows_of(
        config, split, ids=ids, classes=classes, readings=readings
      )
    )
  )


@pytest.mark.parametrize("name", WANTED)
def test_a_file_has_what_is_predicted_in_the_order_of_the_ids(name):
  config = SentencePairConfig(name=name)
  file, said = WANTED[name]
  split, name = next(iter(submission.files_of(config).items()))
  assert name == file
  header, *lines = lines_of(config, split, ids=[2, 0, 1])
  assert header == "index\tprediction"
  assert lines == [f"{i}\t{said[k]}" for i, k in enumerate([1, 2, 0])]


@pytest.mark.parametrize(
  "name, said",
  [
    ("sick", ["NEUTRAL\tNA", "ENTAILMENT\tNA", "CONTRADICTION\tNA"]),
    ("sickr", ["NA\t5.000", "NA\t1.000", "NA\t1.235"]),
  ],
)
def test_sick_has_its_own_ids_and_two_columns(tmp_path, name, said):
  lay_out(tmp_path, name, LABELS[name][0] + LABELS[name][0][:1])
  path = tmp_path / NAMED_SETS[name].files["test"]
  path.write_text(path.read_text().replace("id\t", "pair_ID\t", 1))
  config = SentencePairConfig(name=name, data_dir=str(tmp_path))
  header, *lines = lines_of(config, "test", ids=range(3))
  assert header == "pair_ID\tentailment_judgment\trelatedness_score"
  assert lines == [f"{i}\t{x}" for i, x in enumerate(said)]


def test_both_splits_of_mnli_have_a_file():
  config = SentencePairConfig(name="mnli")
  names = [*submission.files_of(config).values()]
  assert names == ["MNLI-m.tsv", "MNLI-mm.tsv"]


def test_scores_of_ones_own_have_no_limits():
  config = SentencePairConfig(name="pairs", kind="regression")
  assert lines_of(config, "test", ids=range(3))[1:] == [
    "0\t5.700",
    "1\t-0.250",
    "2\t1.235",
  ]


def test_files_of_ones_own_have_the_form_of_glue():
  config = SentencePairConfig(name="pairs", classes=("no", "yes", "maybe"))
  assert [*submission.files_of(config)] == ["test"]
  assert lines_of(config, "test", ids=range(3))[1:] == [
    "0\tyes",
    "1\tno",
    "2\tmaybe",
  ]

"""Published sets: read from files of their official layout, or refused."""

import json
import os

import numpy as np
import pytest

from engine.errors import UserError
from launch.command import configs
from tasks.config import SentencePairConfig
from tasks.data.datasets import TextSplit, answers_of, open_split, read_split
from tasks.named_sets import NAMED_SETS
from tests.support.testing import SHARED, needs_shared_data
from tests.support.training import run

LABELS = {  # What official files have, and what becomes of it.
  "mrpc": (["1", "0"], [1, 0]),
  "rte": (["entailment", "not_entailment"], [0, 1]),
  "qnli": (["entailment", "not_entailment"], [0, 1]),
  "wnli": (["1", "0"], [1, 0]),
  "qqp": (["0", "1"], [0, 1]),
  "mnli": (["neutral", "-", "contradiction"], [1, 2]),
  "snli": (["entailment", "-", "neutral"], [0, 1]),
  "paws": (["0", "1"], [0, 1]),
  "stsb": (["5.000", "1.25"], [5.0, 1.25]),
  "sick": (["NEUTRAL", "ENTAILMENT"], [1, 0]),
  "sickr": (["4.5", "1"], [4.5, 1.0]),
}


def lay_out(directory, name, labels, *, test_labels=True):
  """Writes the official files of a set, with a column in front."""
  named = NAMED_SETS[name]
  for split, file in named.files.items():
    columns = ["id", *named.file_columns]
    if split.startswith("test") and not test_labels:
      columns = columns[:-1]
    rows = [
      [str(i), f'the "{split}" {i}', f"number {i}", label]
      for i, label in enumerate(labels)
    ]
    if file.endswith(".jsonl"):
      lines = [json.dumps(dict(zip(columns, r, strict=True))) for r in rows]
    else:
      cut = [row[: len(columns)] for row in (columns, *rows)]
      lines = ["\t".join(row) for row in cut]
    (directory / file).write_text("\ufeff" + "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMED_SETS)
def test_official_files_are_read(tmp_path, name):
  labels, numbers = LABELS[name]
  lay_out(tmp_path, name, labels)
  config = SentencePairConfig(name=name, data_dir=str(tmp_path))
  answers = answers_of(config)
  assert answers.classes == tuple(NAMED_SETS[name].classes)
  for split in NAMED_SETS[name].files:
    pairs = read_split(config, split, answers)
    assert pairs.labels == numbers
    assert pairs.texts_a[0] == f'the "{split}" 0'
    assert len(pairs) == len(numbers)


@pytest.mark.parametrize("name", ["rte", "stsb", "mnli"])
def test_a_test_split_may_have_no_labels(tmp_path, name):
  lay_out(tmp_path, name, LABELS[name][0], test_labels=False)
  split = "test" if name != "mnli" else "test_matched"
  config = SentencePairConfig(name=name, data_dir=str(tmp_path))
  assert read_split(config, split, answers_of(config)).labels is None


def test_a_split_that_a_set_has_not_is_named_beside_those_it_has(tmp_path):
  lay_out(tmp_path, "mnli", LABELS["mnli"][0])
  config = SentencePairConfig(name="mnli", data_dir=str(tmp_path))
  with pytest.raises(
    UserError, match="'dev' of mnli: use one of .*dev_mismatched"
  ):
    read_split(config, "dev", answers_of(config))


def test_a_set_that_is_not_in_tfds_needs_its_files(tmp_path):
  config = SentencePairConfig(name="sick", data_dir=str(tmp_path))
  with pytest.raises(UserError, match="no SICK_train.txt.*--data_dir"):
    read_split(config, "train", answers_of(config))


def test_both_splits_of_mnli_are_evaluated(tmp_path):
  """Each as if it were alone, on 1 and on 2 replicas."""
  labels = ["entailment", "neutral", "contradiction"] * 5
  lay_out(tmp_path, "mnli", labels)
  recipe = configs.build_config([{"task": {"name": "mnli"}}]).evaluation.split
  assert recipe == "dev_matched,dev_mismatched"
  found = {}
  for mode, split, replicas in (
    ("train", recipe, 1),
    ("eval", recipe, 1),
    ("eval", recipe, 2),
    *(("eval", split, 1) for split in recipe.split(",")),
  ):
    result = run(
      tmp_path / "run",
      replicas,
      mode=mode,
      train={"train_steps": 2, "global_batch_size": 8},
      evaluation={"split": split, "eval_batch_size": 8},
      name="mnli",
      data_dir=str(tmp_path),
    )
    assert result.pop("global_step") == result.pop("eval_weights")["step"] == 2
    found[split, replicas] = result
  matched, mismatched = recipe.split(",")
  both = found[recipe, 1]
  for name, value in found[matched, 1].items():
    assert both[name] == value
  for name, value in found[mismatched, 1].items():
    assert both[f"{mismatched}/{name}"] == value
  assert len(both) == 2 * len(found[matched, 1])
  for name in ("loss", f"{mismatched}/loss"):
    assert both[name] == pytest.approx(found[recipe, 2][name], abs=1e-5)


def test_files_are_what_their_own_names_say(tmp_path):
  """A glob like that of shards may find texts."""
  for i in range(2):
    (tmp_path / f"train-{i}.tsv").write_text(
      f"text_a\ttext_b\tlabel\nx\ty\t{i}"
    )
  config = SentencePairConfig(name="pairs", train_file=f"{tmp_path}/train-*")
  assert isinstance(open_split(config, "train"), TextSplit)
  answers = answers_of(config)
  assert answers.classes == ("0", "1")
  assert read_split(config, "train", answers).labels == [0, 1]


def test_a_run_may_train_without_a_split_to_evaluate(tmp_path):
  (tmp_path / "t.tsv").write_text(
    "text_a\ttext_b\tlabel\n" + "one\ttwo\ta\nthree\tfour\tb\n" * 8
  )
  settings = {"name": "pairs", "train_file": f"{tmp_path}/t.tsv"}
  train = {"train_steps": 2, "global_batch_size": 8}
  with pytest.raises(UserError, match="`eval_file` is not given"):
    run(tmp_path / "run", train=train, **settings)
  found = run(tmp_path / "run", mode="train", train=train, **settings)
  assert found["eval"] is None


@needs_shared_data
@pytest.mark.parametrize(
  "name, sizes",
  [
    ("rte", {"train": 2490, "dev": 277}),
    ("stsb", {"train": 5749, "dev": 1500}),
    ("sick", {"train": 4500, "dev": 500, "test": 4927}),
    ("sickr", {"train": 4500, "dev": 500, "test": 4927}),
    ("mrpc", {"train": 3668, "dev": 408}),
  ],
)
def test_the_real_files_are_read(name, sizes):
  folder = os.path.join(SHARED, "data", name.removesuffix("r"))
  config = SentencePairConfig(name=name, data_dir=folder)
  answers = answers_of(config)
  for split, size in sizes.items():
    pairs = read_split(config, split, answers)
    assert len(pairs) == len(pairs.labels) == size
    answers.check(np.array(pairs.labels), split)

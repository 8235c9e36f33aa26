"""Runs that do not compare are refused, with what differs."""

import numpy as np
import pytest

from engine.errors import UserError
from launch.pages.comparison import compare
from launch.pages.sides import differing, read_side
from tests.support.finished_runs import drawn, write_run

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(2, size=40)


def run(path, **changes):
  logits = drawn(np.random.default_rng(len(str(path))), LABELS)
  return write_run(path, **{"labels": LABELS, "outputs": logits, **changes})


def refused(first, second, **asked):
  with pytest.raises(UserError) as caught:
    compare(read_side(str(first)), read_side(str(second)), **asked)
  return str(caught.value)


def test_runs_on_other_splits_are_refused(tmp_path):
  dev, test = run(tmp_path / "dev"), run(tmp_path / "test", split="test")
  said = refused(dev, test)
  assert "no examples of the split 'dev'" in said
  assert "'test': ['test']" in said and "--split" in said
  assert "'other'" in refused(dev, dev, split="other")


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"labels": LABELS[:30], "outputs": np.eye(2)[LABELS[:30]]}, "40 and 30"),
    ({"labels": 1 - LABELS}, "other labels in 40 examples"),
    ({"texts": [f"other {i}" for i in range(40)]}, "other texts, of example"),
  ],
)
def test_runs_on_other_data_are_refused(tmp_path, changes, said):
  one, other = run(tmp_path / "one"), run(tmp_path / "other", **changes)
  told = refused(one, other)
  assert said in told and "other data" in told and "one and other" in told


def test_runs_that_read_more_or_less_of_the_same_texts_compare(tmp_path):
  texts = [
    [f"word [{i}] {more} | b" for i in range(40)]
    for more in ("more", "[not read: more]")
  ]
  one, other = (
    run(tmp_path / str(i), texts=each) for i, each in enumerate(texts)
  )
  assert compare(read_side(str(one)), read_side(str(other)))


def test_a_metric_without_values_by_example_is_refused(tmp_path):
  one = run(tmp_path / "one", metrics={"pr_auc": 0.7})
  said = refused(one, one, metric="pr_auc")
  assert "'pr_auc', which is not known example by example" in said
  assert "accuracy" in said


def test_a_side_is_a_run_or_its_seeds(tmp_path):
  for seed in (0, 1, 10):
    logits = drawn(np.random.default_rng(seed), LABELS)
    run(tmp_path / f"seed_{seed}", seed=seed, outputs=logits)
  side = read_side(str(tmp_path))
  assert len(side.runs) == 3 and side.told().endswith("(3 seeds)")
  both = ",".join(str(tmp_path / f"seed_{x}") for x in (0, 10))
  assert [x.name for x in read_side(both).runs] == ["seed_0", "seed_10"]
  with pytest.raises(UserError, match="is the same run as"):
    read_side(f"{tmp_path}/seed_0,{tmp_path}/seed_0")
  with pytest.raises(UserError, match="holds no run and no seed_N"):
    read_side(str(tmp_path / "nothing"))


def test_a_side_differs_in_its_seed_alone(tmp_path):
  one = run(tmp_path / "one", seed=3)
  moved = run(
    tmp_path / "moved", seed=4, settings={"task": {"data_dir": "elsewhere"}}
  )
  other = run(tmp_path / "other", seed=5, settings={"task": {"dropout": 0.0}})
  assert len(read_side(f"{one},{moved}").runs) == 2
  with pytest.raises(UserError, match=r"differ in \['task.dropout'\]"):
    read_side(f"{one},{other}")
  newer = run(tmp_path / "newer", seed=6, settings={"task": {"more": 1}})
  assert len(read_side(f"{one},{newer}").runs) == 2
  first, second = (read_side(str(x)).runs[0] for x in (one, other))
  assert differing(first, second) == {"task.dropout": (0.1, 0.0)}

"""What is called better, and which examples it is seen in."""

import numpy as np
import pytest

from launch.pages.comparison import compare
from launch.pages.sides import read_side
from tests.support.finished_runs import drawn, write_run

LABELS = np.random.default_rng(0).integers(2, size=400)


def recipe(folder, gain, seeds):
  """Runs of one recipe; all recipes find the same examples hard."""
  hard = 0.8 * np.random.default_rng(1).normal(size=len(LABELS))
  for seed in seeds:
    random = np.random.default_rng([seed, round(1000 * gain)])
    write_run(
      folder / f"seed_{seed}",
      labels=LABELS,
      outputs=drawn(random, LABELS, gain, hard),
      seed=seed,
      settings={"task": {"dropout": gain}},
    )
  return str(folder)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
  folder = tmp_path_factory.mktemp("recipes")
  return [
    recipe(folder / name, gain, range(first, first + 5))
    for name, gain, first in (("a", 0.0, 0), ("same", 0.0, 10), ("b", 0.6, 0))
  ]


def test_two_groups_of_seeds_are_compared_over_seeds_and_examples(recipes):
  a, _, b = map(read_side, recipes)
  found = compare(a, b)
  row = found.rows[0]
  assert row.metric == "accuracy"
  assert [name for name, _ in row.tests] == ["examples", "seeds"]
  assert found.verdict == f"{b.name} is better"
  assert compare(b, a).verdict == f"{a.name} is worse"
  assert compare(a, b, metric="loss").verdict == f"{b.name} is better"
  assert found.apart == {"task.dropout": (0.0, 0.6)}
  accuracies = [run.result["eval"]["accuracy"] for run in b.runs]
  assert row.by_example.values[1] == pytest.approx(np.mean(accuracies))
  assert "seeds of each" in found.needed[0]


def test_seeds_of_one_recipe_show_no_difference(recipes):
  a, same, _ = map(read_side, recipes)
  assert compare(a, same).verdict == "no difference shown"


def test_one_run_of_each_is_an_example_level_test_only(recipes):
  a, _, b = recipes
  found = compare(read_side(f"{a}/seed_0"), read_side(f"{b}/seed_0"))
  assert [name for name, _ in found.rows[0].tests] == ["examples"]
  assert found.rows[0].by_example.test.startswith("McNemar")
  assert not any("seeds" in x for x in found.needed)
  one, all_of_b = read_side(f"{a}/seed_0"), read_side(b)
  assert compare(one, all_of_b).rows[0].over_seeds is None


def test_the_examples_that_flipped_are_those_of_another_majority(recipes):
  a, _, b = map(read_side, recipes)
  found = compare(a, b)
  right = [
    [x.splits["dev"]["outputs"].argmax(-1) == LABELS for x in side.runs]
    for side in (a, b)
  ]
  most = [np.sum(x, 0) > 2.5 for x in right]
  expected = set(np.flatnonzero(most[0] != most[1]).tolist())
  assert {flip.number for flip in found.flips} == expected
  for flip in found.flips:
    assert flip.text == f"a {flip.number} | b {flip.number}"
    assert flip.right == tuple(int(np.sum(x, 0)[flip.number]) for x in right)

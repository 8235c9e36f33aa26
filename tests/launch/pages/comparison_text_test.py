"""A comparison in words: verdicts are fixed, and say what they are of."""

import numpy as np
import pytest

from launch.pages.comparison import compare
from launch.pages.comparison_text import lines
from launch.pages.page import page_of
from launch.pages.sides import read_side
from tests.launch.pages.page_test import Checker
from tests.support.finished_runs import drawn, write_run

LABELS = np.random.default_rng(0).integers(2, size=300)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs")
  for name, gain in (("a", 0.0), ("b", 0.7)):
    random = np.random.default_rng(round(10 * gain))
    outputs = drawn(random, LABELS, gain)
    write_run(folder / name, labels=LABELS, outputs=outputs)
  few = drawn(np.random.default_rng(0), LABELS[:50])
  write_run(folder / "few", labels=LABELS[:50], outputs=few)
  return {x: read_side(str(folder / x)) for x in ("a", "b", "few")}


def test_the_lines_have_verdict_p_interval_and_texts(runs):
  found = compare(runs["a"], runs["b"])
  told = "\n".join(lines(found, 2))
  row = found.rows[0]
  assert f"on       dev, {len(LABELS)} examples, paired" in told
  assert "accuracy *" in told and f"{row.by_example.difference:+.4f}" in told
  assert f"verdict  {runs['b'].name} is better (accuracy; examples: p" in told
  assert "an example-level test only: other seeds are not looked at" in told
  gained = [x for x in found.flips if x.right == (0, 1)]
  assert f"gained   {len(gained)} examples" in told
  assert f"  {gained[0].number}  right 0/1 -> 1/1  {gained[0].text}" in told
  assert told.count("right 0/1 -> 1/1") == 2


def test_nothing_differs_from_itself(runs):
  told = "\n".join(lines(compare(runs["a"], runs["a"]), 5))
  assert "verdict  no difference shown (accuracy; examples: p = 1" in told
  assert "needed" not in told
  assert "gained   0 examples" in told


def test_the_page_of_several_runs_says_the_same(runs):
  a, b, few = (runs[x].runs[0] for x in ("a", "b", "few"))
  checked = Checker(page_of([a, b, few]))
  told = " ".join(checked.texts)
  assert "Held against a" in told
  assert "b is better" in told
  assert "300 and 50 examples" in told
  assert "Held against" not in page_of([a])

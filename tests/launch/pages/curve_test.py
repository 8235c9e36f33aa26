"""A learning curve: numbers, a picture, and whether more data shows."""

import json

import numpy as np
import pytest

from launch.pages import curve
from tests.launch.pages.page_test import Checker
from tests.support.finished_runs import drawn, write_run

LABELS = np.random.default_rng(0).integers(2, size=300)


@pytest.fixture
def directories(tmp_path):
  found = {}
  for fraction, gain in ((0.1, -0.7), (0.3, 0.0), (1.0, 0.0)):
    folder = tmp_path / f"fraction_{fraction:g}"
    for seed in range(3):
      random = np.random.default_rng([seed, round(100 * fraction)])
      path = write_run(
        folder / f"seed_{seed}",
        labels=LABELS,
        outputs=drawn(random, LABELS, gain),
        seed=seed,
        settings={"task": {"train_fraction": fraction}},
      )
      facts = {"examples": round(1000 * fraction), "digest": "0"}
      splits = {"splits": {"train": facts}}
      (path / "data.json").write_text(json.dumps(splits))
    found[fraction] = str(folder)
  return found


def test_the_curve_says_where_more_data_shows(directories, tmp_path):
  points = curve.read_curve(directories)
  assert [point.examples for point in points] == [100, 300, 1000]
  assert {point.metric for point in points} == {"accuracy"}
  first, second = curve.verdicts(directories)
  assert first.startswith("0.1 -> 0.3: ") and "is better" in first
  assert second.startswith("0.3 -> 1: no difference shown")
  told = [*curve.table(points)]
  assert told[1].split()[:3] == ["0.1", "100", "3"]
  curve.write(points, [first, second], str(tmp_path))
  page = Checker((tmp_path / "curve.html").read_text())
  assert "no difference shown" in " ".join(page.texts)
  assert sum(tag == "polyline" for tag, _ in page.tags) == 3
  kept = json.loads((tmp_path / "curve.json").read_text())
  assert kept["points"][0]["spread"]["runs"] == 3

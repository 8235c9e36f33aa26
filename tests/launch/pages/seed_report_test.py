"""What runs of several seeds say together."""

import json
import math

import pytest

from launch.pages import seed_report


def test_the_interval_is_students():
  found = seed_report.spread([1.0, 2.0, 3.0])
  assert (found["mean"], found["deviation"]) == (2.0, 1.0)
  half = 4.302653 / math.sqrt(3)  # Student's t, 2 degrees of freedom, 97.5 %.
  assert found["interval"] == pytest.approx([2 - half, 2 + half], abs=1e-5)
  one = seed_report.spread([0.5])
  assert (one["mean"], one["deviation"], one["interval"]) == (0.5, None, None)


@pytest.mark.parametrize(
  ("evaluation", "why"),
  [
    ({"accuracy": 0.684, "majority": 0.6838}, "accuracy 0.6840, the majority"),
    ({"accuracy": 0.316, "majority": 0.6838}, "accuracy 0.3160"),
    ({"accuracy": 0.70, "majority": 0.6838}, ""),
    ({"pearson": 0.02, "loss": 2.0}, "pearson 0.0200"),
    ({"pearson": float("nan")}, "pearson is undefined"),
    ({"pearson": None}, "pearson is undefined"),
    ({"pearson": -0.9}, ""),
    ({"loss": 1.0}, ""),
  ],
)
def test_a_run_near_the_majority_class_has_collapsed(evaluation, why):
  found = seed_report.collapse_of(evaluation)
  assert found.startswith(why) and bool(found) == bool(why)


def result_of(accuracy, early=False):
  return {
    "global_step": 40,
    "stopped_early": early,
    "weights_sha256": "00",
    "eval": {
      "loss": float("nan") if accuracy < 0.7 else 0.5,
      "accuracy": accuracy,
      "majority": 0.6838,
      "examples_seen": 408,
      "confusion": [[1, 2], [3, 4]],
      "per_class": {"same": {"recall": 0.5}},
    },
  }


def test_the_report_names_collapsed_runs_and_counts_without_them():
  report = seed_report.summarize(
    {0: result_of(0.80), 1: result_of(0.6838), 2: result_of(0.82, early=True)},
    {5: "ended with status 137: killed"},
  )
  assert report["collapsed"] == [1]
  accuracy = report["metrics"]["accuracy"]
  assert accuracy["runs"] == 3
  assert accuracy["mean"] == pytest.approx((0.80 + 0.6838 + 0.82) / 3)
  assert report["metrics_without_collapsed"]["accuracy"]["mean"] == (
    pytest.approx(0.81)
  )
  assert report["metrics"]["loss"]["runs"] == 2  # One is undefined.
  assert json.loads(json.dumps(report, allow_nan=False)) == report
  assert report["metrics"]["per_class.same.recall"]["mean"] == 0.5
  lines = seed_report.table(report)
  assert lines[0].split() == ["seed", "loss", "accuracy"]
  of_splits = {"dev.2/f1": 0.5, "dev.2/per_class": {"a/b": {"f1": 0.5}}}
  of_splits = {**result_of(0.8), "eval": of_splits}
  header, *_ = seed_report.table(seed_report.summarize({0: of_splits}, {}))
  assert header.split() == ["seed", "dev.2/f1"]
  assert "collapsed: accuracy 0.6838" in lines[2]
  assert lines[3].endswith("stopped early at step 40")
  assert lines[4].split()[:3] == ["5", "-", "-"] and "status 137" in lines[4]
  assert lines[5].split() == ["mean", "0.5000", "0.7679"]
  assert lines[-2].endswith("without the collapsed")
  assert lines[-1].startswith("collapsed: 1 (accuracy at most 0.01 over")

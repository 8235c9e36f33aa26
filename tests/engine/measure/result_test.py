"""What a run says of its speed in the end."""

import json

import pytest

from engine.measure import peaks
from engine.measure.ledger import Work
from engine.measure.peaks import Peak
from engine.measure.result import rates, summary_lines, told_best
from tests.support.testing import LineTask
from tests.support.training import run

WORK = {"steps": 10, "examples": 320, "units": 9_000, "capacity": 10_000}


def work_of(flops):
  executed = flops and 0.75 * flops
  return Work(**WORK, flops=flops, executed_flops=executed, seconds=4.0)


def test_rates_and_utilisation_over_all_accelerators_and_for_each():
  found = rates(work_of(8e12), 4, Peak(1e13, "measured"))
  assert found["real_tokens_per_second"] == 2250
  assert found["padded_tokens_per_second"] == 2500
  assert found["padded_tokens_per_second_per_accelerator"] == 625
  assert found["padding"] == pytest.approx(0.1)
  assert found["model_flops_per_second"] == 2e12
  assert found["model_flops_per_second_per_accelerator"] == 5e11
  assert found["peak_flops_per_second_per_accelerator"] == 2.5e12
  assert found["mfu"] == pytest.approx(0.2)
  assert found["hfu"] == pytest.approx(0.15)
  assert found["peak_source"] == "measured"


@pytest.mark.parametrize(
  ("flops", "reason"),
  [(1e9, "did 1.0e+09 operations"), (0.0, "the task"), (None, "a version")],
)
def test_where_utilisation_is_not_known_the_reason_is(flops, reason):
  found = rates(work_of(flops), 1)
  assert found["mfu"] is None
  assert reason in found["mfu_unknown"]
  assert "peak_flops_per_second" not in found


def test_a_run_finds_its_peak_and_says_it(tmp_path, monkeypatch):
  monkeypatch.setattr(peaks, "LEAST_FLOPS", 1.0)
  result = run(tmp_path, mode="train")
  written = json.loads((tmp_path / "result.json").read_text())
  assert written.pop("digest")
  assert written == result
  train = written["train"]
  assert train["peak_source"] == "measured"
  assert train["peak_flops_per_second"] > 1e9
  assert train["mfu"] == pytest.approx(
    train["model_flops_per_second"] / train["peak_flops_per_second"]
  )
  assert 0 < train["mfu"] < 1
  said = "\n".join(summary_lines(result, str(tmp_path)))
  assert f"utilisation  {train['mfu']:.1%} of " in said
  assert "FLOP/s in float32, measured here" in said
  assert f"goodput      {result['goodput']:.1%} of " in said
  assert max(len(x) for x in said.splitlines() if str(tmp_path) not in x) <= 100


def test_a_run_that_was_started_again_says_what_that_cost():
  result = {
    "global_step": 10,
    "eval": None,
    "replicas": 8,
    "precision": "bfloat16",
    "train": rates(work_of(8e12), 8, Peak(8 * 312e12, "published")),
    "ledger": {"start_up": 10.0, "step": 4.5, "lost_to_restart": 0.5},
    "down_seconds": 5.0,
    "goodput": 4.5 / 20,
    "restarts": 2,
    "checkpoints": {"stall_seconds_mean": 0.25},
    "command": "python -m launch.train",
  }
  assert summary_lines(result, "run") == [
    "finished at step 10",
    "  throughput   80.0 examples/s  2250 real tokens/s  10.0% padding  "
    "(8 replica(s))",
    "  utilisation  0.1% of 2.5 PFLOP/s in bfloat16, as published",
    "  goodput      22.5% of 20.0 s went into steps that count  "
    "(2 restart(s), 5.0 s down)",
    "  seconds      start_up 10.0  step 4.5  lost_to_restart 0.5",
    "  checkpoint   run/checkpoints/ckpt-10  (stall of a save: 0.25 s)",
    "  resume with  python -m launch.train",
  ]


def test_a_short_run_measures_nothing(tmp_path, monkeypatch):
  monkeypatch.setattr(peaks, "Meter", None)
  train = run(tmp_path, mode="train")["train"]
  assert train["mfu"] is None and train["model_flops_per_second"] > 0
  train = run(tmp_path / "line", task=LineTask(), mode="train")["train"]
  assert train["mfu_unknown"] == "the task counts no operations"


def test_a_result_of_an_older_version_is_shown(tmp_path):
  result = run(tmp_path, task=LineTask(), mode="train")
  for name in ("goodput", "down_seconds"):
    del result[name]
  for name in ("mfu", "mfu_unknown", "padded_tokens_per_second"):
    del result["train"][name]
  said = "\n".join(summary_lines(result, str(tmp_path)))
  assert "examples/s" in said
  assert "goodput" not in said and "utilisation" not in said


def test_weights_are_better_where_their_evaluation_was():
  best = {"metric": "accuracy", "value": 0.75, "step": 5}
  result = {"global_step": 9, "best": best, "eval": {"accuracy": 0.5}}
  assert told_best(result).startswith("accuracy 0.7500 at step 5: best/ckpt-5")
  assert told_best({**result, "eval": {"accuracy": 0.75}}) == ""
  assert told_best({**result, "global_step": 5}) == ""
  assert told_best({**result, "best": None}) == ""

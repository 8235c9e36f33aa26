"""A run that evaluates every N steps: its best, its end, how it goes on."""

import os

import pytest

from engine.config import EvaluationConfig, ExperimentConfig, TrainConfig
from engine.durability import manifest
from engine.errors import Preempted, UserError
from engine.loop.boundary import Boundary
from engine.loop.epochs import evaluation_steps
from engine.measure.result import summary_lines
from tests.engine.run.resume_test import (
  CLOSELY,
  NoticeAt,
  assert_same_run,
  run,
)
from tests.support.testing import LineTask, acting_at
from tests.support.training import lines

EVERY_5 = {
  "evaluation": {"eval_interval": 5},
  "runtime": CLOSELY,
  "checkpoint": {"checkpoint_interval": 2},
}


def steps_of(directory, kind="eval"):
  return [row["step"] for row in lines(directory, kind)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  directory = tmp_path_factory.mktemp("every_5")
  return directory, run(directory, **EVERY_5)


def test_it_evaluates_there_and_at_the_end_but_at_no_end_of_an_epoch(whole):
  assert steps_of(whole[0]) == [5, 10, 12]  # An epoch ends at 7.
  assert whole[1]["eval"]["examples_seen"] == 53


def test_the_weights_of_a_run_do_not_depend_on_it(whole, tmp_path):
  other = run(tmp_path)
  assert steps_of(tmp_path) == [7, 12]
  assert other["weights_sha256"] == whole[1]["weights_sha256"]


class Killed(Exception):
  """Ends a run as a kill does: nothing more is saved."""


@pytest.mark.parametrize("step", [4, 6, 8, 10])
def test_a_run_killed_between_two_evaluations_is_the_undisturbed_one(
  whole, tmp_path, monkeypatch, step
):
  def die():
    raise Killed

  with monkeypatch.context() as patch:
    patch.setattr(Boundary, "check", acting_at(step, die))
    with pytest.raises(Killed):
      run(tmp_path, **EVERY_5)
  newest = manifest.prefixes(str(tmp_path / "checkpoints"))[-1]
  assert manifest.step_of(newest) <= step
  result = run(tmp_path, **EVERY_5)
  assert_same_run(whole, (tmp_path, result))
  assert steps_of(tmp_path) == [5, 10, 12]
  assert result["best"] == whole[1]["best"]


def test_a_notice_between_two_evaluations_changes_no_bit(whole, tmp_path):
  stops = []
  for looks in (3, 3, 3):
    with pytest.raises(Preempted) as stop:
      run(tmp_path, notices=NoticeAt(looks), **EVERY_5)
    stops.append(int(str(stop.value).split("at step ")[1].split(",")[0]))
  assert any(x % 5 for x in stops)
  assert_same_run(whole, (tmp_path, run(tmp_path, **EVERY_5)))


class Worsens(LineTask):
  """Is at its best at the second evaluation."""

  def __init__(self):
    super().__init__(dropout=0.25)
    self.scores = [0.1, 0.9, 0.5, 0.4, 0.3, 0.2]

  @property
  def goal(self):
    return "score", "max"

  def metrics(self, labels, outputs):
    if len(labels) < 53:
      return {"score": 0.0}  # Of a batch: which metrics there are.
    return {"score": self.scores.pop(0)}


def test_the_best_weights_and_the_end_are_by_its_evaluations(tmp_path):
  settings = {
    "evaluation": {"eval_interval": 2, "patience": 2},
    "runtime": CLOSELY,
  }
  result = run(tmp_path, task=Worsens(), **settings)
  assert steps_of(tmp_path) == [2, 4, 6, 8]
  assert result["stopped_early"] and result["global_step"] == 8
  best = manifest.prefixes(str(tmp_path / "best"))
  assert [os.path.basename(x) for x in best] == ["ckpt-4"]
  assert result["best"] == {"step": 4, "metric": "score", "value": 0.9}
  weights = {"which": "last", "step": 8, "averaged": False}
  assert result["eval_weights"] == weights
  said = "\n".join(summary_lines(result, "RUN"))
  assert "weights      evaluated are the last weights, of step 8\n" in said
  assert "best         score 0.9000 at step 4: best/ckpt-4, for --" in said


def test_a_last_evaluation_that_is_the_best_is_called_so(tmp_path):
  task = Worsens()
  task.scores = [0.1, 0.2]
  result = run(tmp_path, task=task, optimizer={"average_decay": 0.9})
  said = "\n".join(summary_lines(result, "RUN"))
  assert "the average of the last weights, of step 12, which are the " in said
  assert "  best  " not in said


def test_another_interval_is_another_run(whole):
  other = {**EVERY_5, "evaluation": {"eval_interval": 4}}
  with pytest.raises(UserError, match="eval_interval: 5 -> 4"):
    run(whole[0], **other)


@pytest.mark.parametrize(
  ("interval", "steps"),
  [(0, [2, 4, 5]), (1, [1, 2, 3, 4, 5]), (4, [4, 5]), (5, [5]), (99, [5])],
)
def test_where_a_run_evaluates(interval, steps):
  config = ExperimentConfig(
    train=TrainConfig(train_steps=5, global_batch_size=4),
    evaluation=EvaluationConfig(eval_interval=interval),
  )
  assert evaluation_steps(config, 8) == steps


def test_more_evaluations_than_anybody_waits_for_are_refused():
  config = ExperimentConfig(
    train=TrainConfig(train_steps=2**31 - 1, global_batch_size=1),
    evaluation=EvaluationConfig(eval_interval=1000),
  )
  with pytest.raises(UserError, match="`eval_interval` is 1000, but must be"):
    evaluation_steps(config, 2**30)

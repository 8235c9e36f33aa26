"""A temperature is fitted on a split, and mends what it was not fitted on."""

import json

import numpy as np
import pytest

from engine.errors import Damaged, UserError
from launch.command.checks import check_calibrate
from launch.pages.facts import Run
from launch.pages.page import page_of
from launch.trained.calibrated import calibrate, lines, temperature_of
from tasks.calibration import errors_of, read_calibration, shares_of
from tasks.config import SentencePairConfig
from tasks.sentence_pair import SentencePairTask
from tests.support.finished_runs import write_run


def too_sure(number, seed=0, times=4.0):
  """Labels that follow logits, and these times a factor."""
  random = np.random.default_rng(seed)
  margin = 1.5 * random.normal(size=number)
  labels = (random.random(number) < 1 / (1 + np.exp(-margin))).astype(int)
  logits = np.stack([-margin, margin], -1) / 2 * times
  return labels, logits.astype(np.float32)


@pytest.fixture
def run(tmp_path):
  labels, outputs = too_sure(800)
  return write_run(tmp_path / "run", labels=labels, outputs=outputs)


def test_a_temperature_is_kept_with_the_run(run):
  found = calibrate(str(run), "dev", ("dev",))
  assert found["temperature"] == pytest.approx(4, rel=0.25)
  assert read_calibration(str(run)) == found
  assert temperature_of(str(run), 7) == found["temperature"]
  report = found["reports"]["dev"]
  assert report["before"]["ece"] > 0.15 and report["after"]["ece"] < 0.06
  told = [*lines(found)]
  assert "fitted on dev at step 7" in told[0]
  assert "dev, by halves (800 examples)  ece 0." in told[1]
  page = page_of([Run.read(str(run))])
  assert "fitted on dev at step 7" in page and "dev, by halves" in page


def test_other_splits_have_the_temperature_of_the_one(tmp_path, run):
  labels, outputs = too_sure(500, seed=1)
  other = write_run(
    tmp_path / "other", labels=labels, outputs=outputs, split="test"
  )
  (other / "examples" / "test.npz").rename(run / "examples" / "test.npz")
  found = calibrate(str(run), "dev", ("dev", "test"))
  assert [*found["reports"]] == ["dev", "test"]
  after = errors_of(labels, shares_of(outputs, found["temperature"]))
  assert found["reports"]["test"]["after"] == pytest.approx(after)
  assert found["reports"]["test"]["examples"] == 500


def test_what_cannot_be_calibrated_is_refused_before_the_run():
  check_calibrate("dev", ("dev", "test"), "train_and_eval")
  with pytest.raises(UserError, match="which is not evaluated"):
    check_calibrate("test", ("dev",), "train_and_eval")
  with pytest.raises(UserError, match="--mode=train keeps no evaluation"):
    check_calibrate("dev", ("dev",), "train")


def test_a_split_without_labels_is_refused_when_it_is_opened(tmp_path):
  rows = "text_a\ttext_b\tlabel\na\tb\tyes\nc\td\tno\n"
  (tmp_path / "train.tsv").write_text(rows)
  (tmp_path / "test.tsv").write_text("text_a\ttext_b\na\tb\n")
  check_calibrate("test", ("test",), "train_and_eval")
  config = SentencePairConfig(
    name="pairs",
    encoder="tiny",
    train_file=str(tmp_path / "train.tsv"),
    test_file=str(tmp_path / "test.tsv"),
  )
  with pytest.raises(UserError, match="'test' of pairs has no labels"):
    SentencePairTask(config).source("test")


def test_scores_have_no_temperature(run):
  path = run / "examples" / "dev.npz"
  arrays = dict(np.load(path))
  arrays["outputs"] = arrays["outputs"][:, :1]
  np.savez(path, **arrays)
  with pytest.raises(UserError, match="no logits of classes"):
    calibrate(str(run), "dev", ("dev",))
  assert not (run / "calibration.json").exists()


def test_a_temperature_is_of_the_weights_that_it_was_fitted_on(run):
  with pytest.raises(UserError, match="--calibrate=dev"):
    temperature_of(str(run), 7)
  calibrate(str(run), "dev", ("dev",))
  with pytest.raises(UserError, match="step 7, and these weights are"):
    temperature_of(str(run), 5)
  path = run / "calibration.json"
  for broken in (-1, 0, 1e9):
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "temperature": broken}))
    with pytest.raises(Damaged):
      temperature_of(str(run), 7)

"""A run leaves a page, and launch.report writes one of several."""

import json

import numpy as np
import pytest
import yaml

from engine.measure import per_example as examples
from tests.launch.pages.page_test import Checker
from tests.support import doors


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Directory of a run that was trained by the door."""
  directory = tmp_path_factory.mktemp("run")
  ended = doors.enter(
    directory,
    "launch.train",
    "--encoder=tiny",
    "--train_steps=12",
    "--steps_per_loop=4",
    "--profile_steps=5-9",
    f"--model_dir={directory}/run",
  )
  assert ended.status == 0, ended.err
  assert "profile of steps 5 to 9" in ended.out
  return directory / "run"


def test_a_run_leaves_its_page(run):
  page = (run / "report.html").read_text()
  told = " ".join(Checker(page).texts)
  result = json.loads((run / "result.json").read_text())
  assert f"{result['eval']['accuracy']:.4f}" in told
  assert "called paraphrase" in told
  assert result["command"] in told
  table = examples.read(str(run), "dev")
  assert len(table["losses"]) == result["eval"]["examples_seen"]
  assert np.mean(table["losses"]) == pytest.approx(
    result["eval"]["loss"], rel=1e-5
  )
  assert table["texts"][0] in told
  assert " | " in table["texts"][0]


def test_tensorboard_has_the_profile_and_the_worst_examples(run):
  assert list(run.glob("tensorboard/train/plugins/profile/*/*.xplane.pb"))
  (events,) = (run / "tensorboard" / "eval").glob("events*")
  assert b"largest losses" in events.read_bytes()


def test_the_door_writes_one_page_of_several_runs(run, tmp_path):
  path = tmp_path / "both.html"
  ended = doors.enter(
    tmp_path, "launch.report", str(run), str(run), f"--output={path}"
  )
  assert ended.status == 0, ended.err
  Checker(path.read_text())
  config = yaml.safe_load((run / "config.yaml").read_text())
  assert config["task"]["name"] == "demo"


def test_a_page_of_several_runs_leaves_that_of_the_first_alone(run, tmp_path):
  before = (run / "report.html").read_bytes()
  ended = doors.enter(tmp_path, "launch.report", str(run), str(run))
  assert ended.status == 0, ended.err
  assert f"{run}/report_run_run.html" in ended.out
  assert (run / "report.html").read_bytes() == before


@pytest.mark.parametrize(
  "arguments, complaint",
  [
    ([], "0 file(s) given, but it takes RUN..."),
    (["{tmp}"], "holds no run"),
    (["{run}", "--output=/none/x.html"], "cannot be written"),
  ],
)
def test_what_is_no_run_has_no_page(run, tmp_path, arguments, complaint):
  arguments = [x.format(run=run, tmp=tmp_path) for x in arguments]
  ended = doors.enter(tmp_path, "launch.report", *arguments)
  assert ended.status == 2
  assert complaint in ended.err


@pytest.mark.parametrize("steps", ["5", "9-5", "a-b", "5-5"])
def test_steps_to_profile_are_a_range(tmp_path, steps):
  ended = doors.enter(
    tmp_path,
    "launch.train",
    f"--profile_steps={steps}",
    f"--model_dir={tmp_path}/run",
  )
  assert ended.status == 2
  assert "as 100-110" in ended.err

"""What looks at a run hears all of it, and cannot alter it."""

import sys

import pytest

from engine.durability.run_directory import RunDirectory
from engine.run.experiment import Experiment
from engine.task import Watcher
from engine.telemetry.watching import Watching
from tests.support.testing import LineTask, strategy_of, tiny_config


class Recorder(Watcher):
  """Writes down what it hears, and spoils what it was handed."""

  def __init__(self):
    self.heard = []

  def begin(self, directory, config, step):
    self.heard.append(("begin", step, config["train.seed"]))
    config.clear()

  def log(self, kind, step, point):
    self.heard.append((kind, step, point["loss"]))
    point.clear()

  def saved(self, step):
    self.heard.append(("saved", step, None))

  def end(self, result):
    self.heard.append(("end", result["global_step"], len(result)))
    result.clear()


class Failing(Watcher):
  def log(self, kind, step, point):
    raise OSError("no such host")


class Late(Watcher):
  def end(self, result):
    raise OSError("no such host")


class Leaving(Watcher):
  def log(self, kind, step, point):
    sys.exit("I gave up")


def run(directory, *watchers):
  return Experiment(
    config=tiny_config(
      train={"train_steps": 10, "global_batch_size": 8},
      runtime={"steps_per_loop": 5},
    ),
    task=LineTask(dropout=0.25),
    model_dir=str(directory),
    strategy=strategy_of(1),
    watchers=watchers,
  ).run("train_and_eval")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  return run(tmp_path_factory.mktemp("plain"))


def test_a_watcher_hears_all_and_alters_nothing(plain, tmp_path):
  watcher = Recorder()
  result = run(tmp_path, watcher)
  assert result["weights_sha256"] == plain["weights_sha256"]
  assert result["eval"] == plain["eval"] and result["lost"] == {}
  names = [(event, step) for event, step, _ in watcher.heard]
  assert names[0] == ("begin", 0)
  assert names[-1] == ("end", 10)
  assert {("train", 5), ("train", 10), ("eval", 10), ("saved", 10)} <= {*names}
  losses = {event: x for event, _, x in watcher.heard}
  assert losses["eval"] == result["eval"]["loss"]


def test_one_that_raises_ends_itself_and_is_told_of(plain, tmp_path, caplog):
  watcher = Recorder()
  result = run(tmp_path, Failing(), Leaving(), Late(), watcher)
  assert RunDirectory(str(tmp_path)).result()["lost"] == result["lost"]
  assert result["weights_sha256"] == plain["weights_sha256"]
  assert result["lost"] == {
    "Failing": "log: OSError: no such host",
    "Leaving": "log: SystemExit: I gave up",
    "Late": "end: OSError: no such host",
  }
  assert caplog.text.count("The action Failing has failed") == 1
  assert watcher.heard[-1][0] == "end"  # The others go on.


def test_checkpoints_are_told_with_the_next_point():
  watcher = Recorder()
  watching = Watching([watcher])
  watching.committed += [5, 10]
  watching.log("train", 15, {"loss": 1.0})
  watching.end({"global_step": 15})
  assert [event[:2] for event in watcher.heard] == [
    ("saved", 5),
    ("saved", 10),
    ("train", 15),
    ("end", 15),
  ]

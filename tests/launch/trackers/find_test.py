"""Actions are found by module:Class, or refused in one line."""

import csv
import importlib.util
import sys
import types

import pytest

from engine.errors import UserError
from engine.task import Watcher
from launch.trackers.csv_file import CsvFile
from launch.trackers.find import build
from launch.trackers.mlflow_run import MlflowRun
from launch.trackers.numbers import numbers_of
from launch.trackers.wandb_run import WandbRun

POINT = {
  "loss": 0.5,
  "positive": "yes",
  "confusion": [[1]],
  "per_class": {"c++": {"f1": 1}},
}


class Needy(Watcher):
  def __init__(self, more):
    del more


class Leaving(Watcher):
  def __init__(self):
    sys.exit("no licence")


def test_what_is_named_is_built():
  (found,) = build(["launch.trackers.csv_file:CsvFile"])
  assert isinstance(found, CsvFile)


@pytest.mark.parametrize(
  ("path", "complaint"),
  [
    ("no_such_module:X", "no_such_module cannot be imported"),
    ("", "but must be a module and what is in it"),
    ("launch.trackers.csv_file:Nothing", "which is no action: name a subclass"),
    ("json:JSONDecoder", "which is no action"),
    (f"{__name__}:Needy", "cannot be built without arguments"),
    (f"{__name__}:Leaving", "without arguments .no licence"),
  ],
)
def test_what_is_no_action_is_refused(path, complaint):
  with pytest.raises(UserError, match=complaint):
    build([path])


@pytest.mark.parametrize(
  ("package", "tracker", "name"),
  [
    ("wandb", WandbRun, "wandb"),
    ("mlflow", MlflowRun, "mlflow-skinny sqlalchemy alembic"),
  ],
)
def test_a_tracker_without_its_package_says_what_to_install(
  monkeypatch, package, tracker, name
):
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(UserError, match=f"pip install {name}"):
    tracker()


def test_numbers_have_dotted_names():
  assert numbers_of(POINT) == {"loss": 0.5, "per_class.c++.f1": 1.0}


def test_csv_goes_on_in_its_columns(tmp_path):
  for step, more in ((5, {}), (10, {"late": 1.0})):
    action = CsvFile()
    action.begin(str(tmp_path), {}, step)
    action.log("train", step, {"loss": step / 10, **more})
  with open(tmp_path / "train.csv") as file:
    assert [*csv.reader(file)] == [
      ["step", "loss"],
      ["5", "0.5"],
      ["10", "1.0"],
    ]


class Recorder(types.ModuleType):
  """Stands for a tracker's package: writes down what it is told."""

  def __init__(self):
    super().__init__("recorder")
    self.told = []
    self.info = types.SimpleNamespace(run_id="r1")
    self.summary = {}

  def __getattr__(self, name):
    if name.startswith("__"):
      raise AttributeError(name)

    def tell(*args, **kwargs):
      self.told.append((name, args, kwargs))
      return self

    return tell


class Mlflow(Recorder):
  """MLflow, told to write to one place.

  Args:
    uri: of the place.
  """

  def __init__(self, uri):
    super().__init__()
    self.get_tracking_uri = lambda: uri


@pytest.mark.parametrize("package", ["sqlalchemy", "alembic"])
def test_mlflow_without_what_its_local_store_needs_is_refused(
  monkeypatch, package
):
  # mlflow-skinny declares neither; the run would be lost at its begin.
  monkeypatch.setattr(
    importlib.util, "find_spec", lambda name: None if name == package else 1
  )
  monkeypatch.setitem(sys.modules, "mlflow", Mlflow("sqlite:///mlflow.db"))
  with pytest.raises(UserError, match="pip install mlflow-skinny sqlalchemy"):
    MlflowRun()
  monkeypatch.setitem(sys.modules, "mlflow", Mlflow("https://tracker"))
  MlflowRun()


def test_mlflow_writes_to_its_local_store(tmp_path, monkeypatch):
  """With the package itself, where the extra `track` is."""
  mlflow = pytest.importorskip("mlflow")
  pytest.importorskip("sqlalchemy")
  monkeypatch.chdir(tmp_path)  # Where its directory of files would be.
  monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
  for step in (0, 0, 10):
    action = MlflowRun()
    action.begin(str(tmp_path), {"train.seed": 1}, step)
    action.log("eval", step + 10, POINT)
    action.end({"eval": POINT} if step else None)
  (run,) = mlflow.search_runs(output_format="list")
  assert run.info.status == "FINISHED"
  assert run.data.params == {"train.seed": "1"}
  assert run.data.metrics["eval.loss"] == 0.5


def test_mlflow_is_told_of_one_run_over_all_lives(tmp_path, monkeypatch):
  mlflow = Mlflow("https://tracker")
  monkeypatch.setitem(sys.modules, "mlflow", mlflow)
  for step in (0, 0, 10):
    action = MlflowRun()
    action.begin(str(tmp_path / "."), {"train.seed": 1}, step)
    action.log("eval", step + 10, POINT)
    action.end({"eval": None} if step else None)
  starts = [kwargs for name, _, kwargs in mlflow.told if name == "start_run"]
  assert [x["run_id"] for x in starts] == [None, "r1", "r1"]
  logged = [args for name, args, _ in mlflow.told if name == "log_metrics"]
  assert logged[0] == ({"eval.loss": 0.5, "eval.per_class.c__.f1": 1.0},)
  assert [args for name, args, _ in mlflow.told if name == "end_run"] == [
    ("KILLED",),
    ("KILLED",),
    ("FINISHED",),
  ]


def test_wandb_is_told_of_one_run_over_all_lives(tmp_path, monkeypatch):
  wandb = Recorder()
  monkeypatch.setitem(sys.modules, "wandb", wandb)
  for step in (0, 0, 10):
    action = WandbRun()
    action.begin(str(tmp_path), {"train.seed": 1}, step)
    action.log("train", step + 5, POINT)
    action.end({"eval": POINT} if step else None)
  starts = [kwargs for name, _, kwargs in wandb.told if name == "init"]
  assert starts[0]["id"] == starts[1]["id"]
  assert starts[0]["resume"] == "allow"
  assert wandb.summary["loss"] == 0.5
  ends = [kwargs for name, _, kwargs in wandb.told if name == "finish"]
  assert ends == [{"exit_code": x} for x in (75, 75, 0)]

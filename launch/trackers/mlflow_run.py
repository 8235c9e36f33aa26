"""A run in MLflow: --action=launch.trackers.mlflow_run:MlflowRun.

MLflow's own variables say where, MLFLOW_TRACKING_URI and
MLFLOW_EXPERIMENT_NAME; without the first it writes to a local store.
"""

import importlib.util
import os
import re
from collections.abc import Mapping
from typing import Any

from engine.errors import UserError
from engine.task import Watcher
from launch.trackers.numbers import numbers_of

_ID = "mlflow_run_id"  # A file of the run directory.
_ODD = r"[^\w\-. /]"  # In a class of the user's: MLflow's names have none.
_PACKAGES = "mlflow-skinny sqlalchemy alembic"
_LONGEST = 500  # Characters of a setting: MLflow takes no more.


class MlflowRun(Watcher):
  """Settings, log points and the result; a run that goes on keeps its id."""

  def __init__(self) -> None:
    try:
      import mlflow
    except ImportError as error:
      raise UserError(
        f"MLflow is not there ({error}): pip install {_PACKAGES}."
      ) from error
    # mlflow-skinny comes without what a local store needs; a server does not.
    if mlflow.get_tracking_uri().startswith("sqlite:") and not all(
      importlib.util.find_spec(name) for name in ("sqlalchemy", "alembic")
    ):
      raise UserError(
        "MLflow's local store needs more than mlflow-skinny: pip install "
        f"{_PACKAGES}, or name a server by MLFLOW_TRACKING_URI."
      )
    self._mlflow = mlflow

  def begin(self, directory: str, config: Mapping[str, Any], step: int) -> None:
    path = os.path.join(directory, _ID)
    known = None
    if os.path.exists(path):
      with open(path) as file:
        known = file.read().strip()
    name = os.path.basename(os.path.abspath(directory))
    run = self._mlflow.start_run(run_id=known, run_name=name)
    if not known:
      with open(path, "w") as file:
        file.write(run.info.run_id)
      self._mlflow.log_params({k: str(v)[:_LONGEST] for k, v in config.items()})

  def log(self, kind: str, step: int, point: Mapping[str, Any]) -> None:
    numbers = {
      re.sub(_ODD, "_", f"{kind}.{name}"): value
      for name, value in numbers_of(point).items()
    }
    self._mlflow.log_metrics(numbers, step=step)

  def end(self, result: Mapping[str, Any] | None) -> None:
    self._mlflow.end_run("FINISHED" if result else "KILLED")

"""The study of a search: what Optuna keeps in SQLite, and how it is asked."""

import os
import types
from collections.abc import Mapping
from typing import Any, cast

from engine.config import ExperimentConfig
from engine.errors import UserError
from engine.measure.goal import Goal, goal_of
from engine.task import Task
from launch.jobs.space import Dimension
from tasks import registry
from tasks.answers import Classes, Score
from tasks.config import SentencePairConfig
from tasks.data.datasets import has_scores

FILE = "search.db"
_FREE = 4  # Trials before any is cut short.


def goal_of_run(config: ExperimentConfig) -> Goal:
  """Returns what says which trial is better; no data are read for it."""
  task = config.task
  if isinstance(task, SentencePairConfig):
    own: Any = (Score if has_scores(task) else Classes).goal
  else:
    own = registry.task_class(task.name).goal
    if not isinstance(own, tuple):  # A task that is built says it.
      own = Task.goal
  return goal_of(config, cast(Task, types.SimpleNamespace(goal=own)))


def open_study(
  directory: str, facts: Mapping[str, Any], *, prunes: bool
) -> Any:
  """Opens the study of a directory, or begins one.

  Args:
    directory: of the search.
    facts: what tells it from another one, as JSON has it.
    prunes: whether trials below the median of the others are cut short.

  Raises:
    UserError: where the study is of another search.
  """
  import optuna

  optuna.logging.set_verbosity(optuna.logging.WARNING)
  pruner: Any = optuna.pruners.NopPruner()
  if prunes:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_FREE)
  path = os.path.abspath(os.path.join(directory, FILE))
  try:
    study = optuna.create_study(
      storage=f"sqlite:///{path}",
      study_name="search",
      direction="maximize",
      load_if_exists=True,
      pruner=pruner,
    )
    noted = study.user_attrs.get("facts")
  except Exception as error:  # Whatever SQLAlchemy makes of what is there.
    raise UserError(
      f"{path} cannot be read ({type(error).__name__}): if it is damaged, name "
      "another --model_dir."
    ) from error
  if noted is None:
    study.set_user_attr("facts", dict(facts))
  elif noted != facts:
    apart = [x for x in facts if noted.get(x) != facts[x]]
    raise UserError(
      f"`model_dir` {directory} holds another search, which differs in "
      f"{', '.join(apart)}: use the old ones, or name another directory."
    )
  return study


def suggest(trial: Any, dimension: Dimension, seed: int) -> None:
  """Has Optuna choose the value of a setting, or remember it.

  Args:
    trial: of Optuna.
    dimension: the setting.
    seed: of what is drawn: it does not depend on how often, or by how many
      processes, Optuna was asked before.
  """
  import optuna

  trial.study.sampler = optuna.samplers.TPESampler(
    seed=seed % 2**32, multivariate=False
  )
  if dimension.choices:
    trial.suggest_categorical(dimension.path, dimension.choices)
  elif dimension.whole:
    trial.suggest_int(
      dimension.path,
      int(dimension.low),
      int(dimension.high),
      step=int(dimension.step or 1),
      log=dimension.log,
    )
  else:
    trial.suggest_float(
      dimension.path,
      dimension.low,
      dimension.high,
      step=dimension.step,
      log=dimension.log,
    )


def states() -> Any:
  """Returns the states of a trial."""
  from optuna.trial import TrialState

  return TrialState

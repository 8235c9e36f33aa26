"""Trials of a search, one after the other: each is a run of launch.train.

What is tried next is a function of the seed and of the trials before, and which
of them are cut short one of their evaluations: a search that is killed goes on
to the trials that the undisturbed one would have made.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from engine.durability.run_directory import RunDirectory
from engine.errors import CannotBeRead, SaveFailed, UserError, one_line
from engine.formats import read_json
from engine.lines.reading import read_jsonl
from engine.measure.goal import Goal
from engine.measure.journal import POINT
from engine.process.signals import collected, name_of
from launch.command import configs
from launch.jobs.output import Output
from launch.jobs.space import Dimension, layer_of
from launch.jobs.study import states, suggest

_TICK = 0.2  # Seconds between two looks at a run.
_DIVERGED = 1  # Status of a run whose loss is not finite.


class Search:
  """Makes trials until there are as many as were asked for.

  while there are too few:
    the trial that was cut off; or a new one, with settings from Optuna
    train; tell Optuna of each evaluation; stop the run if that says so
    tell it the best evaluation
  """

  def __init__(
    self,
    study: Any,
    space: Sequence[Dimension],
    *,
    directory: str,
    goal: Goal,
    command: Sequence[str],
    overrides: Mapping[str, Any],
    seed: int,
    output: Output,
    of_trial: Sequence[str] = (),
  ):
    """Initializes the search.

    Args:
      study: of Optuna.
      space: what is searched.
      directory: has `trial_N` of each.
      goal: says which trial is better.
      command: trains, once it has settings and a directory.
      overrides: settings of all trials.
      seed: of what is tried.
      output: starts processes.
      of_trial: more words of the command, of a trial but not of several seeds.
    """
    self._study = study
    self._space = space
    self._directory = directory
    self._goal = goal
    self._command = command
    self._overrides = overrides
    self._seed = seed
    self._output = output
    self._of_trial = of_trial
    self._signals: list[int] = []

  def run(self, trials: int) -> str:
    """Makes trials; returns "", or why it has ended before.

    Raises:
      UserError: where a run says that its user is mistaken.
    """
    with collected() as self._signals:
      while not self._signals:
        trial = self._next(trials)
        if trial is None:
          return ""
        fault = self._train(trial)
        if fault and not self._signals:
          return fault
      return name_of(self._signals[0])

  def _next(self, trials: int) -> Any:
    """Returns the trial to train, with its settings chosen."""
    import optuna

    made = self._study.get_trials(deepcopy=False)
    going = [x for x in made if x.state == optuna.trial.TrialState.RUNNING]
    if going:
      trial = optuna.trial.Trial(self._study, going[0]._trial_id)
    elif len(made) < trials:
      trial = self._study.ask()
    else:
      return None
    for i, dimension in enumerate(self._space):
      seed = self._seed * 1_000_003 + trial.number * 1009 + i
      suggest(trial, dimension, seed)
    return trial

  def _train(self, trial: Any) -> str:
    """Trains a trial to its end; returns why it has not come there."""
    path = os.path.join(self._directory, f"trial_{trial.number}")
    watched = _Watched(trial, path, self._goal)
    watched.look()
    status = 0
    if not watched.pruned and RunDirectory(path).result() is None:
      place = [*self._of_trial, f"--model_dir={path}"]
      status = self._run(trial.number, trial.params, place, watched)
      watched.look()
    finished = RunDirectory(path).result() is not None
    if watched.pruned:
      self._study.tell(trial, state=states().PRUNED)
    elif finished and watched.values:
      self._study.tell(trial, max(watched.values))
    elif finished or status == _DIVERGED:
      why = "no evaluation"
      if not finished:
        why = one_line(self._output.last_line(trial.number))
      print(f"trial {trial.number} failed: {why}", file=sys.stderr, flush=True)
      self._study.tell(trial, state=states().FAIL)
    elif status == 2:
      raise UserError(self._output.last_line(trial.number))
    else:
      return f"trial {trial.number} ended with status {status}"
    return ""

  def with_seeds(self, record: Mapping[str, Any], seeds: str) -> dict[str, Any]:
    """Trains with the settings of a trial once for each seed.

    Args:
      record: of the trial.
      seeds: as `launch.train --seeds` takes them.

    Returns:
      Its number and settings, and `spread` of the metric over the seeds.

    Raises:
      SaveFailed: where that was told to stop, or a run has failed.
    """
    number = record["trial"]
    path = os.path.join(self._directory, f"trial_{number}_seeds")
    with collected() as self._signals:
      command = [f"--seeds={seeds}", f"--model_dir={path}"]
      status = self._run(number, record["settings"], command)
    if status:
      raise SaveFailed(
        f"the seeds of trial {number} ended with status {status}: the same "
        "command goes on."
      )
    report = read_json(os.path.join(path, "seeds.json"), {"metrics": dict})
    spread = report["metrics"][self._goal.metric]
    return {"trial": number, "settings": record["settings"], "spread": spread}

  def _run(
    self,
    number: int,
    settings: Mapping[str, Any],
    more: Sequence[str],
    watched: "_Watched | None" = None,
  ) -> int:
    """Runs the process of a trial; returns its exit status."""
    chosen = configs.merge(self._overrides, layer_of(settings))
    override = f"--params_override={json.dumps(chosen)}"
    process = self._output.start(
      number, [*self._command, override, *more], os.environ
    )
    told = False
    while True:
      try:
        status = process.wait(timeout=_TICK)
        break
      except subprocess.TimeoutExpired:
        if watched:
          watched.look()
      pruned = watched and watched.pruned
      if (pruned or self._signals) and not told:
        told = True
        process.terminate()  # It saves.
    self._output.drain()
    return 128 - status if status < 0 else status

  def records(self) -> list[dict[str, Any]]:
    """Returns number, state, settings and value of each trial."""
    return [
      {
        "trial": x.number,
        "state": x.state.name.lower(),
        "settings": dict(x.params),
        "value": None if x.value is None else self._goal.sign * x.value,
        "evaluations": {
          step: self._goal.sign * value
          for step, value in sorted(x.intermediate_values.items())
        },
      }
      for x in self._study.get_trials(deepcopy=False)
    ]

  def best(self, number: int) -> list[dict[str, Any]]:
    """Returns the best of the finished trials, at most so many."""
    known = [x for x in self.records() if x["state"] == "complete"]
    order = lambda x: (-self._goal.sign * x["value"], x["trial"])
    return sorted(known, key=order)[:number]


class _Watched:
  """The evaluations of a trial's run, told to Optuna as they come.

  Attributes:
    values: of its evaluations, of which more is better.
    pruned: whether one of them was too bad to go on.
  """

  def __init__(self, trial: Any, path: str, goal: Goal):
    self.values: list[float] = []
    self.pruned = False
    self._trial, self._goal = trial, goal
    self._path = os.path.join(path, "metrics.jsonl")
    self._size = -1
    kept = trial.study.get_trials(deepcopy=False)[trial.number]
    self._told = {*kept.intermediate_values}

  def look(self) -> None:
    """Tells what is new, one evaluation after the other, up to a bad one."""
    try:
      size = os.path.getsize(self._path)
      if size == self._size or self.pruned:
        return
      points = read_jsonl(self._path, POINT)
    except (OSError, CannotBeRead):
      return
    self._size = size
    values = (x.get(self._goal.metric) for x in points if x["kind"] == "eval")
    found = [
      self._goal.sign * float(value)
      for value in values
      if isinstance(value, int | float) and value == value
    ]
    for number, value in enumerate(found[len(self.values) :], len(self.values)):
      self.values.append(value)
      if number not in self._told:
        self._trial.report(value, number)
      self.pruned = self._trial.should_prune()
      if self.pruned:
        return

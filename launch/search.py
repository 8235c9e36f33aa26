"""Searches for good settings: python -m launch.search --help."""

import contextlib
import json
import os
import sys
from typing import Any

from absl import flags

from engine.errors import UserError
from engine.settings import check_no_pattern, flatten, identity
from launch.command import configs
from launch.command.checks import is_run, make_directory
from launch.command.door import run_door
from launch.command.flags import (
  config_from_flags,
  define_settings,
  files_layers,
  require,
  said_layers,
)
from launch.command.imports import slow_imports
from launch.command.own_metrics import define_metric, own_metrics
from launch.jobs import space as spaces
from launch.jobs.seeds import given_flags, parse_seeds

flags.DEFINE_string(
  "space", None, "YAML: setting: [a, b], or {low: x, high: y}; needed."
)
flags.DEFINE_string("model_dir", None, "Directory of the search; needed.")
flags.DEFINE_integer(
  "trials", 20, "Runs to make, in all.", lower_bound=1, upper_bound=100_000
)
flags.DEFINE_bool(
  "prune", True, "Stop trials whose evaluations are below the median."
)
flags.DEFINE_string(
  "seeds", "", "Train the finalists with each, and compare: 0-4, or 0,3,5."
)
flags.DEFINE_integer(
  "finalists", 3, "Best trials that --seeds are for.", lower_bound=1
)
define_metric()
define_settings()
_OURS = (
  *("finalists", "flagfile", "model_dir", "params_override", "prune"),
  *("seeds", "space", "trials"),
)


def main() -> None:
  """Makes the trials that are left, and shows what they have found."""
  values = flags.FLAGS
  directory, path = require("model_dir"), require("space")
  said = said_layers()
  layers = [*files_layers(), *said]
  config = config_from_flags(own_tasks=True, evaluates=True)
  names = [x for layer in said for x in flatten(layer)]
  space = spaces.read_space(configs.read_file(path, "space"), config, names)
  spaces.check_space(space, layers)
  if values.seeds:
    parse_seeds(values.seeds)
  if "://" in directory:
    raise UserError(
      f"`model_dir` {directory} is a store, but a search keeps a database: "
      "name a local directory."
    )
  check_no_pattern("model_dir", directory)
  if is_run(directory):
    raise UserError(
      f"`model_dir` {directory} is a run: a search needs a directory of its "
      "own."
    )
  own_metrics(values.metric)  # They are there.
  spaces.check_library()
  make_directory("model_dir", directory)
  # Imported behind the checks: TensorFlow takes seconds.
  with slow_imports():
    from engine.durability.lock import Lock
    from engine.process.parent import ends_with_parent
    from launch.jobs import search, study
    from launch.jobs.output import Output
    from launch.pages import search_report as report

  goal = study.goal_of_run(config)
  own = [x for x in values.metric if x.rpartition(":")[2] == goal.metric]
  given = given_flags((*_OURS, "seed"))
  lock = Lock(directory, parent=ends_with_parent())
  with contextlib.ExitStack() as stack:
    if remark := lock.acquire():
      print(remark, flush=True)
    stack.callback(lock.release)
    facts: dict[str, Any] = {
      "space": [x.facts() for x in space],
      "settings": identity(config),
      "metric": [goal.metric, goal.sign, *own],
    }
    opened = study.open_study(
      directory, json.loads(json.dumps(facts)), prunes=values.prune
    )
    stream = sys.stdout
    if config.runtime.quiet:
      stream = stack.enter_context(open(os.devnull, "w"))
    found = search.Search(
      opened,
      space,
      directory=directory,
      goal=goal,
      command=[sys.executable, "-m", "launch.train", *given],
      overrides=said[0],
      seed=config.train.seed,
      output=Output(stream, prefix=lambda number: f"[trial {number}] "),
      of_trial=[f"--seed={config.train.seed}"] * (values.seed is not None),
    )
    stopped = found.run(values.trials)
    trials = found.records()
    finalists: list[dict[str, Any]] = []
    report.write(trials, finalists, directory, goal)
    print("\n".join(report.table(trials, goal)), flush=True)
    if stopped:
      print(f"{stopped}: the same command goes on.", file=sys.stderr)
      sys.exit(os.EX_TEMPFAIL)
    if values.seeds:
      for best in found.best(values.finalists):
        finalists.append(found.with_seeds(best, values.seeds))
        report.write(trials, finalists, directory, goal)
      print("\n".join(report.finalists_table(finalists, goal)))
    for best in found.best(1):
      chosen = ",".join(f"{k}={v}" for k, v in best["settings"].items())
      print(f"best: trial {best['trial']}, --params_override={chosen}")
    print(f"search.json, search.html in {directory}", flush=True)


if __name__ == "__main__":
  run_door(
    main,
    "Searches for settings: each trial is a run of launch.train; resumes.",
  )

"""Looks after the checkpoints of a run: python -m launch.checkpoints --help."""

import functools
import sys
from collections.abc import Sequence

from absl import flags

from engine.errors import UserError
from launch.command.checks import check_run
from launch.command.door import check_arguments, fail, run_door
from launch.command.flags import require
from launch.trained.checkpoint_diff import diff, find_two
from launch.trained.run_diff import diff_runs
from launch.trained.shelf import list_all, prune, verify_all

VERBS = ("list", "verify", "diff", "prune")
SUMMARY = """\
Looks after the checkpoints of a run. The first word says how:

  list      a line for each: time, size, state, versions, metrics
  verify    reads all files; status 1 if one is damaged or none is whole
  diff      compares settings, versions and variables of two; status 1 if a
            variable differs. `diff RUN RUN` finds the first step, share and
            variable in which two runs differ
  prune     deletes all but the newest whole ones, and what kills left"""

flags.DEFINE_string("model_dir", None, "Directory of the run; needed.")
flags.DEFINE_integer(
  "step", None, "verify, diff: of the checkpoint.", lower_bound=0
)
flags.DEFINE_integer(
  "other_step",
  None,
  "diff: of the other one; by default the newest two.",
  lower_bound=0,
)
flags.DEFINE_string("other_dir", None, "diff: the run of the other one.")
flags.DEFINE_integer("keep", None, "prune: how many stay.", lower_bound=1)
flags.DEFINE_bool("dry_run", False, "prune: only say what would go.")


def main(verb: str, runs: Sequence[str] = ()) -> None:
  """Does what the verb says."""
  if runs:
    for run in runs:
      check_run(run)
    sys.exit(diff_runs(*runs))
  model_dir, values = require("model_dir"), flags.FLAGS
  other_dir = values.other_dir or model_dir
  if verb == "prune" and values.keep is None:
    raise UserError("`keep` is not given: add --keep=..., the number to keep.")
  check_run(model_dir, "model_dir")
  check_run(other_dir, "other_dir")
  status = 0
  if verb == "list":
    list_all(model_dir)
  elif verb == "verify":
    status = verify_all(model_dir, values.step)
  elif verb == "diff":
    status = diff(
      *find_two(model_dir, other_dir, values.step, values.other_step)
    )
  elif values.dry_run:
    prune(model_dir, values.keep)
  else:
    from engine.durability.lock import Lock

    lock = Lock(model_dir, frees=True)
    if sentence := lock.acquire():
      print(sentence)
    with lock:
      prune(model_dir, values.keep, lock)
  sys.exit(status)


def _words() -> tuple[str, list[str]]:
  """Takes the verb, and the runs of `diff`, from the command line."""
  check_arguments(sys.argv[1:])
  if any(argument.startswith(("-h", "--help")) for argument in sys.argv):
    return sys.argv.pop(1) if sys.argv[1] in VERBS else "", []
  if sys.argv[1:2] == [] or sys.argv[1] not in VERBS:
    fail(f"the first word must be one of {', '.join(VERBS)}: see --help.")
  verb = sys.argv.pop(1)
  runs: list[str] = []
  if verb == "diff":
    runs = [x for x in sys.argv[1:] if not x.startswith("-")]
    if runs and (sys.argv[1:] != runs or len(runs) != 2):
      fail("`diff RUN RUN` takes two directories, and no flags behind them.")
  del sys.argv[1 : 1 + len(runs)]
  return verb, runs


if __name__ == "__main__":
  run_door(functools.partial(main, *_words()), SUMMARY)

"""Kills a short run at each of its file operations, and its resume at each.

python -m tests.support.attack.kill_points               # all: half an hour
python -m tests.support.attack.kill_points --sample=20 --kills=4 --seed=1

A run is watched once: before each operation that changes something, all files
are kept as they are then, which is what a kill at that moment would leave; and
between two such states where a file grew, one with half of what it grew by.
Equal states are one. Each is laid out and resumed, and must become what the
undisturbed run is, to the last bit. The same is done to the resume of the run
that died in its middle. That states are what kills leave is tried too:
`--kills` runs are killed by SIGKILL, some in the middle of an operation.
"""

import pathlib
import random
import shutil
from concurrent.futures import ThreadPoolExecutor

from tests.support.attack import campaigns, faulty_files
from tests.support.attack.short_run import (
  flags_of,
  resumed,
  scratch_of,
  train,
)
from tests.support.attack.states import States
from tests.support.attack.watched import AT_ONCE, watch
from tests.support.chaos import facts_of

HEAD = (
  "killed",
  "operations that change files",
  "states of the files",
  "resumed from",
  "equal to the undisturbed run",
)


def resume_each(root, states, chosen, expected, attack):
  """Resumes from states; returns what is wrong."""

  def one(place):
    number, (state, thing) = place
    scratch = scratch_of(root, f"{attack.replace(' ', '_')}_{number}")
    states.lay(state, str(scratch / "run"))
    found = resumed(
      "kill points", scratch, scratch / "run", expected, thing, attack
    )
    shutil.rmtree(scratch)
    return found

  with ThreadPoolExecutor(AT_ONCE) as pool:
    return [x for x in pool.map(one, enumerate(chosen)) if x]


def kill_each(root, expected, chosen):
  """Kills runs at operations, by their number; returns what is wrong."""

  def one(place):
    number, answer = place
    scratch = scratch_of(root, f"kill_{number}_{-answer}")
    directory = str(scratch / "run")

    def kill(operation):
      if operation.kind not in faulty_files.CHANGES:
        return faulty_files.GO
      seen.append(operation)
      return answer if len(seen) == number + 1 else faulty_files.GO

    seen = []
    faulty_files.run(
      scratch, directory, kill, "launch.train", *flags_of(directory)
    )
    found = resumed(
      "kill points",
      scratch,
      directory,
      expected,
      str(seen[-1]),
      "SIGKILL in it" if answer == faulty_files.TEAR else "SIGKILL before it",
    )
    shutil.rmtree(scratch)
    return found

  with ThreadPoolExecutor(AT_ONCE) as pool:
    return [x for x in pool.map(one, chosen) if x]


def campaign(root: pathlib.Path, *, sample: int, kills: int, seed: int):
  """Tries a sample of all states, or all for 0; returns rows and findings."""
  generator = random.Random(seed)
  states = States(root / "store")
  whole = scratch_of(root, "whole")
  ended = train(whole, whole / "run")
  assert ended.status == 0, ended.err
  expected = facts_of(str(whole / "run"))
  rows, findings = [HEAD], []
  first = watch(root, states, "watched", ())
  second = watch(root, states, "watched_resume", first.middle)
  for name, each in (("a run", first), ("its resume", second)):
    chosen = list(each.states.items())
    if sample:
      chosen = generator.sample(chosen, min(len(chosen), sample))
    found = resume_each(root, states, chosen, expected, f"kill in {name}")
    findings += found
    rows.append((name, len(each.operations), len(each.states), len(chosen)))
    rows[-1] += (len(chosen) - len(found),)
    print(f"{name}: {rows[-1]}", flush=True)
  count = len(first.operations)
  chosen = [
    (
      generator.randrange(count),
      generator.choice((faulty_files.DIE, faulty_files.TEAR)),
    )
    for _ in range(kills)
  ]
  found = kill_each(root, expected, chosen)
  rows.append(("SIGKILLs", count, "-", kills, kills - len(found)))
  return rows, findings + found


if __name__ == "__main__":
  campaigns.main(
    __doc__,
    campaign,
    sample=(0, "states; 0: all"),
    kills=(20, "runs killed by SIGKILL"),
  )

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

import dataclasses
import functools
import pathlib
import random
import shutil

from tests.support.attack import campaigns, faulty_files
from tests.support.attack.short_run import (
  flags_of,
  resumed,
  scratch_of,
  train,
)
from tests.support.attack.states import State, States
from tests.support.attack.watched import watch
from tests.support.chaos import facts_of

HEAD = (
  "killed",
  "operations that change files",
  "states of the files",
  "resumed from",
  "equal to the undisturbed run",
)


@dataclasses.dataclass(frozen=True)
class Kill:
  """One of them: a state that is left, or a SIGKILL at an operation.

  Attributes:
    row: of the table.
    state: of the files.
    place: the operation before which they are so.
    number: of the operation at which the process is killed.
    answer: whether before it, or with half of it done.
  """

  row: str
  state: State = ()
  place: str = ""
  number: int = 0
  answer: int = faulty_files.GO


def attempt(root, states, expected, number: int, kill: Kill):
  """Kills, resumes; returns what is wrong."""
  scratch = scratch_of(root, f"kill_{number}")
  directory = scratch / "run"
  place, how = kill.place, f"kill in {kill.row}"
  if kill.place:
    states.lay(kill.state, str(directory))
  else:
    place = killed_at(scratch, directory, kill)
    torn = kill.answer == faulty_files.TEAR
    how = "SIGKILL in it" if torn else "SIGKILL before it"
  found = resumed("kill points", scratch, directory, expected, place, how)
  shutil.rmtree(scratch)
  return found


def killed_at(scratch, directory, kill: Kill) -> str:
  """Runs until it is killed; returns the operation."""
  seen = []

  def answer(operation):
    if operation.kind not in faulty_files.CHANGES:
      return faulty_files.GO
    seen.append(operation)
    last = len(seen) == kill.number + 1
    return kill.answer if last else faulty_files.GO

  faulty_files.run(
    scratch, str(directory), answer, "launch.train", *flags_of(directory)
  )
  return str(seen[-1])


def campaign(
  root: pathlib.Path,
  *,
  sample: int,
  kills: int,
  seed: int,
  budget: campaigns.Budget,
):
  """Tries a sample of all states, or all for 0; returns rows and findings."""
  states = States(root / "store")
  whole = scratch_of(root, "whole")
  ended = train(whole, whole / "run")
  assert ended.status == 0, ended.err
  expected = facts_of(str(whole / "run"))
  first = watch(root, states, "watched", ())
  watches = {
    "a run": first,
    "its resume": watch(root, states, "watched_resume", first.middle),
  }
  every = [
    Kill(row, state, place)
    for row, watched in watches.items()
    for state, place in watched.states.items()
  ]
  generator, count = random.Random(seed), len(first.operations)
  answers = (faulty_files.DIE, faulty_files.TEAR)
  shots = [
    Kill(
      "SIGKILLs",
      number=generator.randrange(count),
      answer=generator.choice(answers),
    )
    for _ in range(kills)
  ]
  chosen = campaigns.drawn(
    campaigns.drawn(every, sample, seed) + shots, 0, seed
  )
  tried = campaigns.each(
    functools.partial(attempt, root, states, expected), chosen, budget
  )
  rows = [HEAD]
  for row in (*watches, "SIGKILLs"):
    mine = [wrong for kill, wrong in tried if kill.row == row]
    seen = watches.get(row, first)
    there = len(seen.states) if row in watches else "-"
    rows.append((row, len(seen.operations), there, len(mine), mine.count(None)))
  return rows, [wrong for _, wrong in tried if wrong]


if __name__ == "__main__":
  campaigns.main(
    __doc__,
    campaign,
    sample=(0, "states; 0: all"),
    kills=(20, "runs killed by SIGKILL"),
  )

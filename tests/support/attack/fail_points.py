"""Fails the file operations of a short run, and of its resume, one by one.

python -m tests.support.attack.fail_points --sample=40 --seed=1
python -m tests.support.attack.fail_points               # all: hours

An operation fails once (EIO), or the path fails from then on (EIO), or the disk
is full from then on (ENOSPC, of all that needs room). The run must end with the
result of the undisturbed one, or with one line; then, nothing failing any more,
the same command must lead to the undisturbed result, to the last bit.
"""

import errno
import functools
import pathlib
import shutil

from tests.support.attack import campaigns, faulty_files, judge
from tests.support.attack.short_run import (
  flags_of,
  resumed,
  scratch_of,
  sweep,
  train,
)
from tests.support.attack.states import States
from tests.support.attack.watched import watch
from tests.support.chaos import facts_of

ROOM = frozenset({"create", "write", "flush", "mkdir", "link", "truncate"})
WAYS = ("once", "its path from then on", "full disk from then on")


def failing(target: str, way: str):
  """Returns answers, and a list that holds the operation once it came.

  Args:
    target: the operation, as `str(operation)` says it.
    way: one of `WAYS`.
  """
  hit = []

  def answer(operation):
    if not hit and str(operation) == target:
      hit.append(operation)
      full = way == WAYS[2]
      return errno.ENOSPC if full else errno.EIO
    if not hit or way == WAYS[0]:
      return faulty_files.GO
    if way == WAYS[1]:
      same = operation.path == hit[0].path
      return errno.EIO if same else faulty_files.GO
    return errno.ENOSPC if operation.kind in ROOM else faulty_files.GO

  return answer, hit


def attack(root, states, number, place):
  """Lets one operation fail; returns whether it came, and what is wrong."""
  state, target, way, expected, usual = place
  scratch = scratch_of(root, f"fail_{number}")
  directory = str(scratch / "run")
  states.lay(state, directory)
  answer, hit = failing(target, way)
  fault = lambda *words: judge.Finding(
    "fail points", target, way, "launch.train", *words
  )
  try:
    ended = faulty_files.run(
      scratch, directory, answer, "launch.train", *flags_of(directory)
    )
  except judge.Overdue as error:
    return hit, fault("hangs", str(error))
  wrong, words = judge.fault_of(ended, "launch.train")
  if wrong:
    return hit, fault(wrong, words)
  # A finished run is not trained again: what it lacks, it has to say.
  if ended.status == 0 and (lacks := _lacking(directory, expected)):
    told = hit and judge.is_told(ended, hit[0].path, usual)
    if "weights" in lacks or not told:
      return hit, fault("silent difference", lacks)
    return hit, None
  found = resumed("fail points", scratch, directory, expected, target, way)
  shutil.rmtree(scratch)
  return hit, found


def _lacking(directory, expected):
  sweep(directory)
  try:
    found = facts_of(directory)
  except Exception as error:
    return repr(error)[:300]
  return ", ".join(judge.differing(expected, found))


def campaign(
  root: pathlib.Path, *, sample: int, seed: int, budget: campaigns.Budget
):
  """Tries a sample, or all for 0; returns rows and findings."""
  states = States(root / "store")
  whole = scratch_of(root, "whole")
  ended = train(whole, whole / "run")
  assert ended.status == 0, ended.err
  expected = facts_of(str(whole / "run"))
  first = watch(root, states, "watched", (), all_kinds=True)
  second = watch(root, states, "watched_resume", first.middle, all_kinds=True)
  places = [
    (state, str(operation), way, expected, ended)
    for state, seen in (((), first), (first.middle, second))
    for operation in seen.operations
    for way in WAYS
    if way != WAYS[2] or operation.kind in ROOM
  ]
  places = campaigns.drawn(places, sample, seed)
  tried = campaigns.each(
    functools.partial(attack, root, states), places, budget
  )
  rows = [("an operation fails", "tried", "came", "ended as they should")]
  for way in WAYS:
    ends = [end for place, end in tried if place[2] == way]
    came = [found for hit, found in ends if hit]
    rows.append((way, len(ends), len(came), came.count(None)))
  return rows, [found for _, (_, found) in tried if found]


if __name__ == "__main__":
  campaigns.main(__doc__, campaign, sample=(0, "operations; 0: all"))

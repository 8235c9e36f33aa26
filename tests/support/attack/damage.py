"""Damages each file of a run in each way, and opens each door on it.

python -m tests.support.attack.damage --sample=100 --seed=1
python -m tests.support.attack.damage                # all: an hour or two

A door must do as if nothing were wrong, or say what is, in the right way
(judge.py). Files beside the run stay as they are; so do those that a user keeps
in it, and links in it, and no file goes where a door refuses.
"""

import collections
import dataclasses
import functools
import os
import pathlib
import random
import re
import shutil
from collections.abc import Sequence

from tests.support.attack import campaigns, faulty_files, judge
from tests.support.attack.canaries import Canaries
from tests.support.attack.doors_of_a_run import DOORS, RunDoor
from tests.support.attack.runs import Runs, names_in, open_door
from tests.support.attack.wounds import REFUSALS, WOUNDS

# Instead of damage to one file: what else lies in the directory.
BESIDE = "(the directory)"
STRAYS = ("links out of it", "a user's files", "a list of others")
LINK = "a link in its place"
ATTACKS = (*WOUNDS, *REFUSALS, LINK)
# What holds no result: nothing is lost with it, so nothing has to be said.
_PASSING = ("lock.json", "restarts.jsonl", "tensorboard")


@dataclasses.dataclass
class Trial:
  """One door on one damaged run, and what became of it."""

  door: RunDoor
  thing: str
  attack: str
  outcome: str = ""
  finding: judge.Finding | None = None


def attempt(runs: Runs, seed: int, number: int, trial: Trial) -> None:
  """Damages, opens the door, judges."""
  door, name, attack = trial.door, trial.thing, trial.attack
  scratch = runs.lay(f"trial_{number}", door)
  run = scratch / "run"
  canaries = Canaries(scratch / "kept")
  answer = lambda operation: faulty_files.GO
  if attack == LINK:
    canaries.link_to(run / name)
  elif attack == STRAYS[2]:
    canaries.list_as_checkpoints(run)
  elif name == BESIDE:
    canaries.join(run, links=attack == STRAYS[0])
  elif attack in REFUSALS:
    answer = REFUSALS[attack](name)
  else:
    WOUNDS[attack](run / name, random.Random(f"{seed} {number}"))
  before = names_in(run)
  words, said = ("", ""), ""
  try:
    ended = open_door(door, scratch, answer)
  except judge.Overdue as error:
    trial.outcome, words = "finding", ("hangs", str(error))
  else:
    said = ended.err
    trial.outcome, *words = _judged(runs, trial, ended, run)
  if touched := canaries.touched():
    trial.outcome = "finding"
    words = ("canary", ", ".join(os.path.relpath(x, scratch) for x in touched))
  elif gone := _lost(runs, trial, before - names_in(run), said):
    trial.outcome, words = "finding", (f"{trial.outcome}, but gone", gone)
  if trial.outcome == "finding":
    trial.finding = judge.Finding("damage", name, attack, door.name, *words)
  shutil.rmtree(scratch)


def _lost(runs, trial, gone, said):
  """Names of files that had to stay: of a refused run, or of a whole one."""
  if trial.outcome != "refused" and trial.attack not in REFUSALS:
    return ""
  gone = gone - runs.removed[trial.door.name]
  # Passed over, it was written anew in its place, and that failed as well.
  of = set(re.findall(r"^(ckpt-\d+) could not be saved", said, re.M))
  gone = {x for x in gone if os.path.basename(x).partition(".")[0] not in of}
  return ", ".join(sorted(gone)[:5])


def _judged(runs, trial, ended, run):
  """What became of it, the fault, and words that show it."""
  door, name = trial.door, trial.thing
  fault, words = judge.fault_of(ended, door.module)
  if fault:
    return "finding", fault, words
  if ended.status:
    return "refused", "", ""
  facts = door.facts(ended, run)
  differing = judge.differing(runs.expected[door.name], facts)
  of_a_checkpoint = os.path.basename(name).startswith("ckpt-")
  harms = trial.attack in WOUNDS and "MiB longer" not in trial.attack
  if door.name == "verify" and of_a_checkpoint and harms and not differing:
    return "finding", "not noticed", ended.out[-300:]
  if not differing or name.startswith(_PASSING):
    return "equal", "", ""
  if differing == [name] and len(facts[name] or ()) == len(
    runs.expected[door.name][name]
  ):
    return "equal", "", ""  # The damaged line is there as it was.
  if door.tells or judge.is_told(ended, name, runs.usual[door.name]):
    return "said", "", ""
  shown = {x: str(facts.get(x))[:80] for x in differing}
  return "finding", "silent difference", str(shown)


def trials_of(runs: Runs) -> list[Trial]:
  """All of them."""
  return [
    Trial(door, name, attack)
    for door in DOORS
    for name in runs.files(door.begins_with)
    for attack in ATTACKS
  ] + [Trial(door, BESIDE, attack) for door in DOORS for attack in STRAYS]


def campaign(
  root: pathlib.Path,
  *,
  sample: int,
  seed: int,
  only: str,
  budget: campaigns.Budget,
):
  """Tries a sample, or all for 0; returns rows and findings."""
  runs = Runs(root)
  trials = [
    x
    for x in trials_of(runs)
    if only in f"{x.door.name}: {x.attack}: {x.thing}"
  ]
  tried = campaigns.each(
    functools.partial(attempt, runs, seed),
    campaigns.drawn(trials, sample, seed),
    budget,
  )
  ended = [trial for trial, _ in tried]
  return table(ended), [x.finding for x in ended if x.finding]


def table(trials: Sequence[Trial]) -> list[Sequence[object]]:
  """Returns the rows of the campaign: one for each kind of damage."""
  outcomes = ("equal", "said", "refused", "finding")
  counts = collections.Counter((x.attack, x.outcome) for x in trials)
  rows = []
  for attack in (*ATTACKS, *STRAYS):
    numbers = [counts[attack, x] for x in outcomes]
    if sum(numbers):
      rows.append((attack, sum(numbers), *numbers))
  head = (
    "damage",
    "doors opened",
    "as if undisturbed",
    "went on, and said so",
    "refused in one line",
    "wrong",
  )
  return [head, *rows, campaigns.total(rows)]


if __name__ == "__main__":
  campaigns.main(
    __doc__,
    campaign,
    sample=(0, "doors; 0: all"),
    only=("", "a part of DOOR: DAMAGE: FILE"),
  )

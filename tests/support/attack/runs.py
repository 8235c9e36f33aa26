"""A run and half of it, and what doors make of them while nothing is wrong."""

import os
import pathlib
import resource

from tests.support.attack import faulty_files
from tests.support.attack.doors_of_a_run import DOORS, HALF, MORE, WHOLE
from tests.support.attack.short_run import flags_of, scratch_of
from tests.support.attack.states import States

# A door may take this much address space more than it begins with.
_MEMORY = 3 * 2**30  # Bytes.


class Runs:
  """A run and its half, and what each door makes of them undisturbed."""

  def __init__(self, root: pathlib.Path):
    self.root = root
    self._states = States(root / "store")
    self.states, self.expected, self.usual = {}, {}, {}
    self.removed = {}  # Name of a door -> files.
    self._train()
    for door in DOORS:
      scratch = self.lay(f"undisturbed_{door.name}", door)
      before = names_in(scratch / "run")
      ended = open_door(door, scratch, lambda operation: faulty_files.GO)
      assert ended.status == 0, (door.name, ended)
      facts = door.facts(ended, scratch / "run")
      assert facts and None not in facts.values(), door.name
      self.removed[door.name] = before - names_in(scratch / "run")
      self.expected[door.name], self.usual[door.name] = facts, ended

  def _train(self):
    scratch = scratch_of(self.root, "original")
    directory = str(scratch / "run")

    def keep_half(operation):
      if (operation.kind, operation.path) == ("rename", "result.json"):
        self.states[HALF] = self._states.take(directory)
      return faulty_files.GO

    ended = faulty_files.run(
      scratch, directory, keep_half, "launch.train", *flags_of(directory), *MORE
    )
    assert ended.status == 0, ended.err
    self.states[WHOLE] = self._states.take(directory)

  def lay(self, name, door) -> pathlib.Path:
    """Makes a scratch directory with what a door begins with."""
    scratch = scratch_of(self.root, name.replace(" ", "_"))
    self._states.lay(self.states[door.begins_with], str(scratch / "run"))
    return scratch

  def files(self, which):
    """The files of a run, without those of TensorBoard."""
    return [
      name
      for name, content in self.states[which]
      if len(content) == 64 and not name.startswith("tensorboard")
    ]


def open_door(door, scratch, answer):
  """Runs a door on the run in a scratch directory."""
  return faulty_files.run(
    scratch,
    str(scratch / "run"),
    answer,
    door.module,
    *door.arguments(scratch / "run"),
    stdin=door.stdin,
    started=_bound,
  )


def _bound(pid):
  with open(f"/proc/{pid}/statm") as file:
    size = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
  resource.prlimit(pid, resource.RLIMIT_AS, (size + _MEMORY,) * 2)


def names_in(run: pathlib.Path) -> set[str]:
  """Files of a run; what a door makes and removes by itself aside."""
  found = {str(x.relative_to(run)) for x in run.rglob("*")}
  return {x for x in found if ".part" not in x and "lock.json" not in x}

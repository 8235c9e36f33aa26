"""A short run, watched: its operations, and the states of its files between."""

import dataclasses
import pathlib
import shutil

from tests.support.attack import faulty_files
from tests.support.attack.short_run import flags_of, scratch_of
from tests.support.attack.states import State, States

AT_ONCE = 2  # Doors that campaigns open.


@dataclasses.dataclass
class Watch:
  """What was seen of one run.

  Attributes:
    operations: those that change something, or all, in their order.
    states: each state -> the operation that it comes before.
    middle: the state in which the first checkpoint had just been committed.
  """

  operations: list[faulty_files.Operation]
  states: dict[State, str]
  middle: State = ()


def watch(
  root: pathlib.Path,
  states: States,
  name: str,
  state: State,
  all_kinds: bool = False,
) -> Watch:
  """Runs from a state to the end, and keeps all states between.

  Args:
    root: where its files are.
    states: that are kept.
    name: of a folder in `root`.
    state: to begin with; () for nothing.
    all_kinds: whether operations that change nothing are listed too.
  """
  scratch = scratch_of(root, name)
  directory = str(scratch / "run")
  states.lay(state, directory)
  seen = Watch([], {})
  last = [states.take(directory)]

  def keep(operation):
    if operation.kind in faulty_files.CHANGES:
      now = states.take(directory)
      if now != last[0]:
        for half in states.torn(last[0], now):
          seen.states.setdefault(half, f"in the middle before {operation}")
        if not seen.middle and any("2.manifest" in x for x, _ in now):
          seen.middle = now
        last[0] = now
      seen.states.setdefault(now, str(operation))
    if all_kinds or operation.kind in faulty_files.CHANGES:
      seen.operations.append(operation)
    return faulty_files.GO

  ended = faulty_files.run(
    scratch, directory, keep, "launch.train", *flags_of(directory)
  )
  assert ended.status == 0, ended.err
  seen.states.setdefault(states.take(directory), "the end")
  shutil.rmtree(scratch)
  return seen

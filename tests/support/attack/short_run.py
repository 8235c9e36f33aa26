"""The short run that campaigns attack: four steps, of two checkpoints one."""

import os

from engine.durability.run_directory import RunDirectory
from engine.run import sweeping
from tests.support.attack.faulty_files import deadline, finish
from tests.support.attack.judge import Finding, Overdue, fault_of
from tests.support.chaos import apart, facts_of
from tests.support.doors import TINY, Door

STEPS = 4
SETTINGS = (
  *TINY,
  "--checkpoint_interval=2",
  "--max_to_keep=1",
  "--steps_per_loop=2",
  "--global_batch_size=8",
  "--batching=pad",
  "--deterministic",
  "--log_example_ids",
)


def flags_of(directory) -> tuple[str, ...]:
  """Flags of launch.train for the run in a directory."""
  return (*SETTINGS, f"--model_dir={directory}")


def train(scratch, directory):
  """Trains, or resumes, with nobody between."""
  door = Door(scratch, "launch.train", *flags_of(directory))
  return finish(door, deadline())


def resumed(campaign, scratch, directory, expected, thing, attack):
  """Resumes an attacked run; returns what is wrong with it, if anything."""
  fault = lambda *words: Finding(campaign, thing, attack, "resume", *words)
  try:
    ended = train(scratch, directory)
  except Overdue as error:
    return fault("hangs", str(error))
  wrong, words = fault_of(ended, "launch.train")
  if wrong:
    return fault(wrong, words)
  if ended.status:
    return fault(f"status {ended.status}", ended.err[-300:])
  try:
    found = facts_of(str(directory))
  except Exception as error:
    return fault("files that cannot be read", repr(error)[:300])
  for name, value in expected.items():
    if found[name] != value:
      return fault("difference", f"{name}: {apart(value, found[name])}")
  return None


def scratch_of(root, name):
  """Makes a directory for one door."""
  path = root / name
  os.makedirs(path)
  return path


def sweep(directory):
  """Removes what could not be removed by the run, as its next start would."""
  sweeping.sweep(RunDirectory(str(directory)), STEPS)

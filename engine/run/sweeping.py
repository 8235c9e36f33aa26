"""What killed or failing writers left of a run, and its removal."""

import contextlib

from engine.durability import manifest, own
from engine.durability.lock import Lock
from engine.durability.run_directory import RunDirectory
from engine.errors import Busy, UserError
from engine.files import DISK_ERRORS


def sweep(directory: RunDirectory, step: int) -> None:
  """Removes what no process needs any more; hold the lock.

  What cannot be removed now stays: the next start tries again.

  Args:
    directory: of the run.
    step: where the run is. A checkpoint behind it that was never finished is
      one of a killed save.
  """
  for folder in _folders(directory):
    with contextlib.suppress(*DISK_ERRORS, UserError):
      if folder in (directory.checkpoints, directory.best):
        _sweep_checkpoints(folder, step)
      # Among them is what marks that a deletion has begun.
      own.remove_leftovers(folder)


def sweep_finished(directory: RunDirectory, lock: Lock, step: int) -> None:
  """Removes what a run could not when it finished, if it is nobody's now.

  Args:
    directory: of the run.
    lock: of it, which is not held.
    step: where the run ended.
  """
  # Where another job works, or nothing can be written, all stays.
  with contextlib.suppress(*DISK_ERRORS, UserError, Busy):
    if any(map(own.leftovers, _folders(directory))):
      lock.acquire()
      try:
        sweep(directory, step)
      finally:
        lock.release()


def _sweep_checkpoints(folder: str, step: int) -> None:
  for prefix in manifest.prefixes(folder):
    later = manifest.step_of(prefix) > step
    unfinished = later and not manifest.is_committed(prefix)
    if unfinished or manifest.is_going(prefix):
      manifest.delete(prefix)


def _folders(directory: RunDirectory) -> tuple[str, ...]:
  return (
    directory.path,
    directory.assets,
    directory.examples,
    directory.checkpoints,
    directory.best,
  )

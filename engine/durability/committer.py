"""What lies between a checkpoint that is written and one that exists."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from engine.durability.lock import Lock
from engine.durability.manifest import (
  Manifest,
  delete,
  is_committed,
  note_logs,
  prefixes,
  read_manifest,
  verify,
  write_manifest,
)
from engine.errors import Damaged, Missing, UserError
from engine.lines.cover import Cover
from engine.lines.line_file import LineFile


class Committer:
  """Commits what was written, as long as this process may.

      sync the logs         # a checkpoint stands for what they hold
      check the lock        # a holder that stood still may have lost it
      write the manifest    # from here on the checkpoint exists

  Attributes:
    writes: whether this process is the one that saves. Replicas hold equal
      variables, so one is enough.
    logs: on the disk before a checkpoint that has their lines behind it.
    committed: gets the step of each.
  """

  def __init__(
    self,
    *,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    lock: Lock | None = None,
    writes: bool = True,
  ):
    """Initializes the committer.

    Args:
      config: settings that identify the run, for the manifests.
      versions: of what writes them, likewise.
      settings: what `config.yaml` holds, likewise.
      lock: of the run directory; none where no other job comes.
      writes: as above.
    """
    self.writes = writes
    self.logs: list[LineFile] = []
    self.committed: list[int] = []
    self._facts: dict[str, Any] = {
      "config": config,
      "versions": versions,
      "settings": settings,
    }
    self._lock = lock

  def check(self) -> None:
    """Raises `UserError` where another job has taken over."""
    if self._lock:
      self._lock.check()

  def cover(self) -> None:
    """Notes what the logs hold that the next checkpoint has behind it.

    Training goes on while the files are written, and so do the logs.
    """
    self._facts["logs"] = {log.name: log.cover() for log in self.logs}

  def cover_again(self, prefix: str) -> None:
    """Notes what the logs hold by now in a checkpoint that exists.

    Raises:
      UserError: where it cannot be read, or another job has taken over.
      OSError, tf.errors.OpError: where the disk takes no more.
    """
    self.cover()
    self._sync()
    note_logs(prefix, self._facts["logs"])

  def _sync(self) -> None:
    for log in self.logs:
      log.sync()
    self.check()

  def commit(
    self,
    prefix: str,
    step: int,
    metrics: Mapping[str, float] | None = None,
  ) -> None:
    """Makes the checkpoint exist whose files lie behind `prefix`.

    Args:
      prefix: of the files.
      step: the global step.
      metrics: of the evaluation that it is kept for, if it is.

    Raises:
      UserError: where another job has taken over.
      OSError, tf.errors.OpError: where the disk takes no more.
    """
    self._sync()
    write_manifest(prefix, step=step, metrics=metrics, **self._facts)
    self.committed.append(step)


def discard(prefix: str) -> None:
  """Deletes what a failed save has left.

  What was there before stays where it is whole, or cannot be read now: nothing
  has taken its place.

  Raises:
    OSError, tf.errors.OpError: where the disk does not let it go.
  """
  try:
    if is_committed(prefix):
      verify(prefix)
      return
  except (Damaged, Missing):
    pass
  except UserError:
    return
  delete(prefix)


def covers(
  directory: str, name: str, counts: Callable[[Manifest], bool]
) -> list[Cover]:
  """What checkpoints have noted of a log.

  Args:
    directory: of the checkpoints.
    name: of the log.
    counts: whether what a manifest notes is to be believed: a run that went
      back has written other lines since.
  """
  found = []
  for prefix in prefixes(directory):
    with contextlib.suppress(UserError):
      manifest = read_manifest(prefix)
      if counts(manifest) and name in manifest.logs:
        found.append(Cover(**manifest.logs[name]))
  return found

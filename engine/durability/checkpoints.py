"""The checkpoint manager of a run: its newest checkpoints."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from engine.config import CheckpointConfig, ExperimentConfig
from engine.durability import listing, manifest, own
from engine.durability.committer import Committer, discard
from engine.durability.restore import restore_newest
from engine.errors import Unreadable, UserError
from engine.files import DISK_ERRORS, reason_of
from engine.measure.ledger import Ledger


class Checkpoints(tf.train.CheckpointManager):
  """Keeps the newest checkpoints of a run, by steps and by minutes.

      save:  copy the variables                   # the stall
             write the files                      # beside training
             commit: write the manifest           # from here on it exists
             delete what is not kept, each one's manifest first

  Orbit saves nothing, without a word, where a manager has no interval: this
  one always has one. A save that fails is told and tried again at the next
  occasion; the older checkpoints stay.
  """

  _last_preserved_timestamp: float  # Of `tf.train.CheckpointManager`.

  def __init__(
    self,
    checkpoint: tf.train.Checkpoint,
    *,
    directory: str,
    policy: CheckpointConfig,
    committer: Committer,
    ledger: Ledger,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Initializes the manager; `begin` comes next, then `clear`.

    Args:
      checkpoint: what is saved; its `global_step` counts the steps.
      directory: where; all ranks restore from it.
      policy: when to save, and which to keep; with an interval.
      committer: makes checkpoints exist.
      ledger: where the seconds of saving go.
      check: raises where the variables must not be saved.
      clock: returns seconds.
    """
    assert policy.checkpoint_interval > 0, policy
    super().__init__(
      checkpoint,
      # It would believe what TensorFlow's list says there.
      directory=os.path.join(os.devnull, "nothing"),
      max_to_keep=policy.max_to_keep,
      keep_checkpoint_every_n_hours=policy.keep_every_n_hours or None,
      step_counter=checkpoint.global_step,
      checkpoint_interval=policy.checkpoint_interval,
    )
    self._directory = directory
    self._checkpoint_prefix = os.path.join(directory, "ckpt")
    _ = checkpoint.save_counter  # A variable: all workers make it together.
    self._committer = committer
    self._say: Callable[[str], None] = lambda line: None
    if committer.writes:
      self._say = logging.warning
    self._ledger = ledger
    self._check = check
    self._seconds = policy.checkpoint_minutes * 60
    self._asynchronous = policy.async_checkpoint
    self._clock = clock
    self._saved_at = clock()
    self._pending: str | None = None  # Being written beside training.
    self._newest: str | None = None  # Whole, or being written.
    self.failed_saves = 0
    self.listeners: list[Callable[[int], object]] = []  # Of the first commit.
    self.stalls: list[float] = []  # Seconds for which each save held training.

  def begin(
    self,
    initialize: Callable[[], None],
    *,
    config: ExperimentConfig | None = None,
    allowed: Collection[str] = (),
  ) -> str | None:
    """Restores the newest whole checkpoint, or initializes; writes nothing.

    Args:
      initialize: gives first weights; called where there is no checkpoint.
      config: of the run; a checkpoint of another one is refused.
      allowed: names of settings in which a checkpoint's may differ.

    Returns:
      The path of the checkpoint, or None.

    Raises:
      UserError: where no checkpoint is whole, one is of another run, or what
        is no file is in the way of the next.
    """
    found = manifest.prefixes(self.directory)
    committed = [prefix for prefix in found if manifest.is_committed(prefix)]
    if committed:
      self._newest = restore_newest(
        self.checkpoint,
        self.directory,
        config=config,
        allowed=allowed,
        say=self._say,
      )
      self._manage(committed)
    else:
      initialize()
    step = manifest.step_of(self._newest) if self._newest else -1
    own.check_places(x for x in found if manifest.step_of(x) > step)
    return self._newest

  def follow(self, step: int) -> None:
    """Takes for its own what the chief has restored."""
    self._newest = f"{self._checkpoint_prefix}-{step}"

  def _manage(self, committed: Sequence[str]) -> None:
    """Finds which checkpoints may be deleted in their turn.

    Those that are listed; where there is no list, the newest, as the others may
    be kept for good. A kill may have kept the newest off the list.
    """
    listed = listing.read(self.directory)
    if listed is None:
      spare = 1 if self._keep_checkpoint_every_n_hours else self._max_to_keep
      listed = [*committed][-spare:], self._last_preserved_timestamp
    names, self._last_preserved_timestamp = listed
    for prefix in committed:
      if prefix in names or prefix == self._newest:
        # One that cannot be read stays: nobody knows what it is.
        with contextlib.suppress(UserError):
          when = manifest.read_manifest(prefix).time
          self._maybe_delete[prefix] = when
    self._latest_checkpoint = self._newest

  def restore_or_initialize(self) -> str | None:
    """Does nothing: Orbit calls it; `begin` has done it before."""
    return self._newest

  def save(self, *args, check_interval: bool = True, **kwargs) -> str | None:
    """Saves at each multiple of the interval, or at once without the check."""
    if not self._committer.writes:
      return None
    step, prefix = self._step(), self._prefix_of_now()
    due = not check_interval or step % self.checkpoint_interval == 0
    if self._seconds:
      due |= self._clock() - self._saved_at >= self._seconds
    if not due or self._newest == prefix:
      return None
    self.settle()
    with self._ledger.time("checkpoint"):
      self._check()
      self._saved_at = begun = self._clock()
      self._before = self._newest
      self._newest = self._pending = prefix
      self._last_checkpoint_step = None  # TensorFlow tries no step twice.
      try:
        self._committer.check()
        if stranger := own.stranger(prefix):
          raise OSError(f"{stranger} is no regular file")
        self._committer.cover()
        super().save(
          checkpoint_number=step,
          check_interval=False,
          options=tf.train.CheckpointOptions(
            experimental_enable_async_checkpoint=self._asynchronous,
            experimental_write_callbacks=[self._finish],
          ),
        )
      except DISK_ERRORS as error:
        self._failed(prefix, error)
        return None
      except Exception:
        self._forget()
        raise
      self.stalls.append(self._clock() - begun)
    return prefix

  def _finish(self, prefix: str) -> None:
    """Commits what was written; runs beside training."""
    if self._asynchronous and sys.platform == "linux":
      # This thread writes the next ones too: training has the cores first.
      with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    step = manifest.step_of(prefix)
    self._committer.commit(prefix, step)
    self._pending = None
    while self.listeners:
      self.listeners.pop()(step)

  def cover(self) -> None:
    """Notes in the checkpoint of this step what the logs hold by now."""
    if self._committer.writes and self.settle() == self._prefix_of_now():
      with contextlib.suppress(*DISK_ERRORS, Unreadable):
        self._committer.cover_again(self._prefix_of_now())

  def settle(self) -> str | None:
    """Waits for a save that runs beside; returns the newest whole checkpoint.

    One that failed is told; what it left is deleted.

    Raises:
      UserError: where this process may not write any more.
    """
    with self._ledger.time("checkpoint"):
      begun = self._clock()
      self.checkpoint.sync()
      if self.stalls:
        self.stalls[-1] += self._clock() - begun
      # TensorFlow keeps what went wrong for its next save; it is told now.
      helper, error = self.checkpoint._async_checkpointer_impl, None
      if helper:
        error, helper._async_error = helper._async_error, None
      if self._pending and isinstance(error, DISK_ERRORS):
        self._failed(self._pending, error)
      elif self._pending and error:
        self._forget()
        raise error
    return self._newest

  def sync(self) -> None:
    """Does nothing: Orbit calls it where training may go on; see `settle`."""

  def _forget(self) -> None:
    self._pending, self._newest = None, self._before

  def _failed(self, prefix: str, error: Exception) -> None:
    self._forget()
    self.failed_saves += 1
    self._say(
      f"{os.path.basename(prefix)} could not be saved ({reason_of(error)}): "
      "the run goes on with the older checkpoints and saves again at the next "
      "occasion."
    )
    with contextlib.suppress(*DISK_ERRORS):
      if not own.stranger(prefix):
        discard(prefix)
      own.remove_leftovers(self.directory)

  def _step(self) -> int:
    return int(self._step_counter.numpy())

  def _prefix_of_now(self) -> str:
    return os.path.join(self.directory, f"ckpt-{self._step()}")

  def _record_state(self) -> None:
    """Writes TensorFlow's list, of which nothing here depends."""
    with contextlib.suppress(*DISK_ERRORS):
      listing.write(
        self.directory, self._maybe_delete, self._last_preserved_timestamp
      )

  def _sweep(self) -> None:
    """Deletes what is not kept, the manifest of each first."""
    hours = self._keep_checkpoint_every_n_hours
    while len(self._maybe_delete) > self._max_to_keep:
      prefix, written = self._maybe_delete.popitem(last=False)
      if hours and written - hours * 3600 >= self._last_preserved_timestamp:
        self._last_preserved_timestamp = written
      else:
        with contextlib.suppress(*DISK_ERRORS):
          manifest.delete(prefix)


def stalls(manager: Checkpoints) -> dict[str, Any]:
  """How long the saves of this process held the training up."""
  seconds = manager.stalls
  return {
    "saves": len(seconds),
    "failed": manager.failed_saves,
    "stall_seconds_mean": float(np.mean(seconds)) if seconds else 0.0,
    "stall_seconds_max": max(seconds, default=0.0),
  }

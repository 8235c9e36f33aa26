"""The checkpoint manager of a run, and what a restore says."""

from collections.abc import Callable

import tensorflow as tf
from absl import logging

from engine.errors import UserError
from engine.ledger import Ledger


class Checkpoints(tf.train.CheckpointManager):
  """Keeps the newest checkpoints of a run, by steps.

  Orbit saves nothing, without a word, where a manager has no interval: this
  one always has one.
  """

  def __init__(
    self,
    checkpoint: tf.train.Checkpoint,
    *,
    directory: str,
    global_step: tf.Variable,
    interval: int,
    max_to_keep: int,
    initialize: Callable[[], None],
    ledger: Ledger,
    writes: bool = True,
  ):
    """Initializes the manager.

    Args:
      checkpoint: what is saved.
      directory: where; all ranks restore from it.
      global_step: the step counter.
      interval: steps between two checkpoints.
      max_to_keep: how many of the newest are kept.
      initialize: gives first weights; called where there is no checkpoint.
      ledger: where the seconds of saving go.
      writes: whether this process is the one that saves. Replicas hold equal
        variables, so one is enough.
    """
    assert interval > 0, interval
    super().__init__(
      checkpoint,
      directory=directory,
      max_to_keep=max_to_keep,
      step_counter=global_step,
      checkpoint_interval=interval,
    )
    _ = checkpoint.save_counter  # A variable: all workers make it together.
    self._writes = writes
    self._initialize = initialize
    self._ledger = ledger
    self._settled = False
    self._good: str | None = None  # The newest that is known to be whole.

  def restore_or_initialize(self) -> str | None:
    """Restores the newest checkpoint, or initializes; once a process.

    Returns:
      The path of the checkpoint, or None.

    Raises:
      UserError: where the checkpoint is damaged or of another model.
    """
    if not self._settled:
      if self.latest_checkpoint:
        self._good = restore_newest(self.checkpoint, self.directory)
      else:
        self._initialize()
      self._settled = True
    return self._good

  def save(self, *args, check_interval: bool = True, **kwargs) -> str | None:
    """Saves at each multiple of the interval, or at once without the check."""
    if not self._writes:
      return None
    if check_interval and self._step() % self.checkpoint_interval:
      return None
    if self._good == f"{self._checkpoint_prefix}-{self._step()}":
      return None
    with self._ledger.time("checkpoint"):
      self._good = super().save(*args, check_interval=False, **kwargs)
    return self._good

  def _step(self) -> int:
    return int(self._step_counter.numpy())


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
  """Restores each value that `checkpoint` holds from `path`.

  Raises:
    UserError: where the file is damaged or does not fit.
  """
  try:
    checkpoint.restore(path).assert_existing_objects_matched()
  except (tf.errors.OpError, ValueError, IndexError, AssertionError) as error:
    reason = " ".join(str(error).split())[:200]
    raise UserError(
      f"The checkpoint {path} cannot be restored ({reason}): it is damaged or "
      "of another model; choose another --model_dir."
    ) from error


def restore_newest(checkpoint: tf.train.Checkpoint, directory: str) -> str:
  """Restores the newest whole checkpoint of a directory; returns its path.

  One that is damaged or missing is passed over with a warning.

  Raises:
    UserError: where there is none.
  """
  state = tf.train.get_checkpoint_state(directory)
  paths = list(state.all_model_checkpoint_paths)[::-1] if state else []
  if not paths:
    raise UserError(
      f"{directory} has no checkpoint: train first, or name the directory of "
      "a run by --model_dir."
    )
  for path in paths:
    try:
      restore(checkpoint, path)
      return path
    except UserError as error:
      logging.warning("Skipped: %s", error)
      complaint = error
  raise complaint

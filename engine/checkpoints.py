"""The checkpoint manager of a run, and what a restore says."""

from collections.abc import Callable

import tensorflow as tf

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
    """
    assert interval > 0, interval
    super().__init__(
      checkpoint,
      directory=directory,
      max_to_keep=max_to_keep,
      step_counter=global_step,
      checkpoint_interval=interval,
    )
    self._initialize = initialize
    self._ledger = ledger
    self._restored = False

  def restore_or_initialize(self) -> str | None:
    """Restores the newest checkpoint, or initializes; once a process.

    Returns:
      The path of the checkpoint, or None.

    Raises:
      UserError: where the checkpoint is damaged or of another model.
    """
    if not self._restored:
      if self.latest_checkpoint:
        restore(self.checkpoint, self.latest_checkpoint)
      else:
        self._initialize()
      self._restored = True
    return self.latest_checkpoint

  def save(self, *args, check_interval: bool = True, **kwargs) -> str | None:
    """Saves at each multiple of the interval, or at once without the check."""
    if check_interval and self._step() % self.checkpoint_interval:
      return None
    if self.latest_checkpoint == f"{self._checkpoint_prefix}-{self._step()}":
      return None
    with self._ledger.time("checkpoint"):
      return super().save(*args, check_interval=False, **kwargs)

  def _step(self) -> int:
    return int(self._step_counter.numpy())


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
  """Restores each value that `checkpoint` holds from `path`.

  Raises:
    UserError: where the file is damaged or does not fit.
  """
  try:
    status = checkpoint.restore(path)
    status.assert_existing_objects_matched()
  except (tf.errors.OpError, ValueError, IndexError, AssertionError) as error:
    reason = " ".join(str(error).split())[:200]
    raise UserError(
      f"The checkpoint {path} cannot be restored ({reason}): delete its files "
      "to use the one before it, or choose another --model_dir."
    ) from error


def restore_newest(checkpoint: tf.train.Checkpoint, directory: str) -> str:
  """Restores the newest checkpoint of a directory; returns its path.

  Raises:
    UserError: where there is none, or it is damaged or does not fit.
  """
  path = tf.train.latest_checkpoint(directory)
  if not path:
    raise UserError(
      f"{directory} has no checkpoint: train first, or name the directory of "
      "a run by --model_dir."
    )
  restore(checkpoint, path)
  return path

"""Evaluates each checkpoint of a run that another process trains."""

import os
import time
from typing import Any

import tensorflow as tf

from engine.config import EvaluationConfig
from engine.durability import manifest
from engine.durability.restore import restore
from engine.durability.run_directory import RunDirectory
from engine.errors import Unreadable, UserError
from engine.files import DISK_ERRORS
from engine.loop.evaluator import Evaluator, SplitsEvaluator
from engine.measure.journal import Journal
from engine.measure.terminal import Terminal

_LOOK = 1.0  # Seconds between two looks for a new checkpoint.


def follow(
  evaluator: Evaluator | SplitsEvaluator,
  checkpoint: tf.train.Checkpoint,
  *,
  directory: RunDirectory,
  config: EvaluationConfig,
  train_steps: int,
  quiet: bool,
) -> dict[str, Any]:
  """Evaluates each new checkpoint until the run ends or none comes.

  Args:
    evaluator: of the model that `checkpoint` restores.
    checkpoint: of the model and `global_step`.
    directory: of the run.
    config: which split, and how long to wait for a checkpoint.
    train_steps: at which the run ends.
    quiet: whether the terminal shows nothing.

  Returns:
    The last log point.

  Raises:
    UserError: where no checkpoint came, or one does not fit.
  """
  path = os.path.join(directory.file("continuous_eval"), config.split)
  tf.io.gfile.makedirs(path)
  log = Journal(
    path,
    step=train_steps,
    terminal=Terminal(train_steps=train_steps, quiet=quiet),
  )
  step, since = -1, time.monotonic()
  while step < train_steps and time.monotonic() - since < config.timeout:
    if not _restore_newer(checkpoint, directory.checkpoints, step):
      time.sleep(_LOOK)
      continue
    step = int(checkpoint.global_step.numpy())
    if not log.has("eval", step):
      log.write("eval", step, evaluator.evaluate(tf.constant(-1)))
    since = time.monotonic()
  log.close()
  if not log.lines:
    raise UserError(
      f"`model_dir` {directory.path} got no checkpoint within "
      f"{config.timeout:g} s: is the training running?"
    )
  return log.lines[-1]


def _restore_newer(
  checkpoint: tf.train.Checkpoint, directory: str, step: int
) -> bool:
  """Restores the newest checkpoint if it is newer than `step`.

  The trainer deletes and writes while we read: what fails to be read and has
  changed meanwhile, or is not whole, is none.

  Raises:
    UserError: where it is whole, and does not fit.
  """
  try:
    found = filter(manifest.is_committed, manifest.prefixes(directory)[::-1])
    newest = next(found, None)
    if not newest or manifest.step_of(newest) <= step:
      return False
    before = manifest.read_manifest(newest)
    try:
      restore(checkpoint, newest)
    except Unreadable:
      return False
    except UserError:
      if manifest.verify(newest) == before:
        raise
      return False
  except (Unreadable, *DISK_ERRORS):
    return False
  return True

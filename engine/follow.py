"""Evaluates each checkpoint of a run that another process trains."""

import os
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from engine import manifest
from engine.checkpoints import restore
from engine.config import EvaluationConfig
from engine.errors import UserError
from engine.evaluator import Evaluator
from engine.journal import Journal, Terminal
from engine.run_directory import RunDirectory

_LOOK = 1.0  # Seconds between two looks for a new checkpoint.


def follow(
  evaluator: Evaluator,
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
  for prefix in committed_checkpoints(directory.checkpoints, config.timeout):
    try:
      restore(checkpoint, prefix)
    except UserError:
      if manifest.is_committed(prefix):
        raise
      continue  # Deleted meanwhile: newer ones have come.
    step = int(checkpoint.global_step.numpy())
    if not log.has("eval", step):
      log.write("eval", step, evaluator.evaluate(tf.constant(-1)))
    if step >= train_steps:
      break
  log.close()
  if not log.lines:
    raise UserError(
      f"`model_dir` {directory.path} got no checkpoint within "
      f"{config.timeout:g} s: is the training running?"
    )
  return log.lines[-1]


def committed_checkpoints(directory: str, timeout: float) -> Iterator[str]:
  """Yields each newest finished checkpoint until none comes for `timeout` s."""
  seen, since = None, time.monotonic()
  while time.monotonic() - since < timeout:
    done = [x for x in manifest.prefixes(directory) if manifest.is_committed(x)]
    if done and done[-1] != seen:
      seen = done[-1]
      yield seen
      since = time.monotonic()
    else:
      time.sleep(_LOOK)

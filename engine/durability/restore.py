"""Reads a whole checkpoint back."""

import contextlib
import math
import os
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import tensorflow as tf
import tf_keras
from absl import logging

from engine.durability import assets, manifest
from engine.durability.run_directory import RunDirectory
from engine.errors import (
  CannotBeRead,
  Unreadable,
  UserError,
  one_line,
  shortened,
  words_of,
)
from engine.files import DISK_ERRORS, reason_of
from engine.settings import differences, told
from engine.task import Task

# What TensorFlow says of variables that a checkpoint has not.
_UNBOUND = re.compile(r"Found (\d+) Python objects that were not bound")
# What TensorFlow says of a checkpoint that is of something else.
_MISFITS = (
  tf.errors.NotFoundError,
  tf.errors.InvalidArgumentError,
  tf.errors.FailedPreconditionError,
  tf.errors.UnimplementedError,
  ValueError,
  IndexError,
  AssertionError,
)


class Misfit(UserError):
  """A checkpoint that is whole, and of something else.

  Attributes:
    brief: what is wrong with it, without its path.
  """

  def __init__(self, path: str, error: Exception):
    unbound = _UNBOUND.search(str(error))
    reason = words_of(error, 100)
    if unbound:
      reason = f"it lacks {unbound[1]} variable(s) that are asked for"
    self.brief = f"is whole, but does not fit ({reason})"
    super().__init__(
      f"The checkpoint {path} {self.brief}: it is of another task or encoder, "
      "or of other settings; choose another --model_dir."
    )


def checkpoint_of(
  model: tf_keras.Model,
  step: tf.Variable,
  averages: tf.Module | None,
  **more: tf.Module | tf_keras.optimizers.Optimizer,
) -> tf.train.Checkpoint:
  """Returns the checkpoint of a model: what all that read one look for.

  Args:
    model: with all of its variables.
    step: of training.
    averages: of the model's weights, if the run keeps them.
    more: what training goes on from.
  """
  if averages:
    more["averages"] = averages
  return tf.train.Checkpoint(model=model, global_step=step, **more)


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
  """Restores what `checkpoint` holds from `path`.

  Raises:
    CannotBeRead: where the disk fails.
    Misfit: where the file does not fit.
  """
  try:
    with _counts_as_saved(checkpoint, path):
      status = checkpoint.restore(path).assert_existing_objects_matched()
      status.expect_partial()  # Who reads weights leaves the moments.
  except _MISFITS as error:
    raise Misfit(path, error) from error
  except DISK_ERRORS as error:
    reason = f"cannot be read ({reason_of(error)})"
    raise CannotBeRead(path, reason) from error


@contextlib.contextmanager
def _counts_as_saved(checkpoint: tf.train.Checkpoint, path: str) -> Iterator:
  """Lets counts of int64 be read from a run that had them as int32."""
  reader = tf.compat.v1.train.NewCheckpointReader(path)
  saved = reader.get_variable_to_dtype_map()
  counts = [
    (module, name, value, tf.Variable(0, dtype=tf.int32))
    for owner, module in vars(checkpoint).items()
    if isinstance(module, tf.Module)
    for name, value in vars(module).items()
    if saved.get(f"{owner}/{name}/.ATTRIBUTES/VARIABLE_VALUE") == tf.int32
    and value.dtype == tf.int64
  ]
  try:
    for module, name, _, narrow in counts:
      setattr(module, name, narrow)
    yield
  finally:
    for module, name, value, _ in counts:
      setattr(module, name, value)
  for _, _, value, narrow in counts:
    value.assign(tf.cast(narrow, tf.int64))


def restore_newest(
  checkpoint: tf.train.Checkpoint,
  directory: str,
  *,
  config: Any = None,
  allowed: Collection[str] = (),
  say: Callable[[str], object] = logging.warning,
) -> str:
  """Restores the newest checkpoint that can be; returns its path.

  Whatever is wrong with one, the next older is tried, and told why.

  Args:
    checkpoint: what is restored.
    directory: of the checkpoints.
    config: of the run; a checkpoint of another one is refused.
    allowed: names of settings in which a checkpoint's may differ.
    say: tells what was passed over.

  Raises:
    UserError: where there is none, or it is of another run.
  """
  skipped: list[str] = []
  misfit: UserError | None = None

  def skip(prefix: str, reason: str) -> None:
    skipped.append(reason)
    say(one_line(f"skipped {prefix}: {reason}"))

  for prefix in reversed(manifest.prefixes(directory)):
    try:
      found = manifest.verify(prefix)
    except Unreadable as error:
      skip(prefix, error.brief)
      continue
    different = config and differences(found.config, config, allowed)
    if different:
      raise UserError(
        f"The checkpoint {prefix} is of another run ({told(different)}): "
        "use the old values or another --model_dir."
      )
    try:
      restore(checkpoint, prefix)
      return prefix
    except (Misfit, CannotBeRead) as error:
      misfit = misfit or error
      skip(prefix, error.brief)
  if misfit:
    raise misfit
  if skipped:
    raise UserError(
      f"{directory} has no whole checkpoint "
      f"({shortened('; '.join(skipped[:2]), 160)}): bring one back from a "
      "copy, or start in another --model_dir."
    )
  raise UserError(
    f"{directory} has no checkpoint: train first, or name the directory of "
    "a run by --model_dir."
  )


def restore_best(
  checkpoint: tf.train.Checkpoint,
  directory: str,
  *,
  metric: str,
  sign: int,
  say: Callable[[str], object] = logging.warning,
) -> str:
  """Restores the best checkpoint of a directory; returns its path.

  Args:
    checkpoint: what is restored.
    directory: of the best checkpoints.
    metric: by which they are compared.
    sign: 1 if more of it is better, -1 if less is.
    say: tells what was passed over.

  Raises:
    UserError: where there is none that is whole.
  """
  found = []
  for prefix in manifest.prefixes(directory):
    try:
      kept = manifest.verify(prefix)
      value = kept.metrics.get(metric, -math.inf * sign)
      found.append((sign * value, -kept.step, prefix))
    except Unreadable as error:
      say(f"skipped {prefix}: {error.brief}")
  if not found:
    raise UserError(
      f"{directory} has no whole checkpoint: train with evaluations and "
      "--best_to_keep=1, or take --checkpoint=newest."
    )
  best = max(found)[2]
  restore(checkpoint, best)
  return best


def inherit(task: Task, model: tf_keras.Model, run: str) -> str:
  """Gives a model the weights of another run, as far as they serve.

  Args:
    task: says which parts they serve for.
    model: with first weights.
    run: directory of the other run, whose newest checkpoint counts.

  Returns:
    The parts and the checkpoint, for a line.

  Raises:
    UserError: where there is no run, or one of another encoder.
  """
  directory = RunDirectory(run)
  if not os.path.isdir(run) or directory.read_config() is None:
    raise UserError(
      f"`init_from` is {run}, which holds no run: name the directory that "
      "launch.train was given, or leave it out."
    )
  assets.check(directory)
  parts = task.inherited(model, directory.assets)
  checkpoint = tf.train.Checkpoint(model=tf.train.Checkpoint(**parts))
  path = restore_newest(checkpoint, directory.checkpoints)
  return f"begins with {' and '.join(parts)} of {path}"

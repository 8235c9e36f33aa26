"""Reads a whole checkpoint back."""

import contextlib
from collections.abc import Callable, Collection
from typing import Any

import tensorflow as tf
import tf_keras
from absl import logging

from engine.durability import manifest
from engine.errors import UserError
from engine.settings import differences, told


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
    UserError: where the file does not fit.
  """
  try:
    status = checkpoint.restore(path).assert_existing_objects_matched()
    status.expect_partial()  # Who reads weights leaves the moments.
  except (tf.errors.OpError, ValueError, IndexError, AssertionError) as error:
    reason = " ".join(str(error).split())[:200]
    raise UserError(
      f"The checkpoint {path} is whole, but does not fit ({reason}): it is of "
      "another task, encoder or precision; choose another --model_dir."
    ) from error


def restore_newest(
  checkpoint: tf.train.Checkpoint,
  directory: str,
  *,
  config: Any = None,
  allowed: Collection[str] = (),
  say: Callable[[str], object] = logging.warning,
) -> str:
  """Restores the newest whole checkpoint of a directory; returns its path.

  One that is damaged or unfinished is passed over, and told why.

  Args:
    checkpoint: what is restored.
    directory: of the checkpoints.
    config: of the run; a checkpoint of another one is refused.
    allowed: names of settings in which a checkpoint's may differ.
    say: tells what was passed over.

  Raises:
    UserError: where there is none, or it is of another run.
  """
  skipped = []
  for prefix in reversed(manifest.prefixes(directory)):
    try:
      found = manifest.verify(prefix)
    except manifest.Damaged as damage:
      skipped.append(str(damage))
      say(f"skipped {prefix}: {damage}")
      continue
    different = config and differences(found.config, config, allowed)
    if different:
      raise UserError(
        f"The checkpoint {prefix} is of another run ({told(different)}): "
        "use the old values or another --model_dir."
      )
    restore(checkpoint, prefix)
    return prefix
  if skipped:
    raise UserError(
      f"{directory} has no whole checkpoint ({'; '.join(skipped[:4])}): bring "
      "one back from a copy, or start in another --model_dir."
    )
  raise UserError(
    f"{directory} has no checkpoint: train first, or name the directory of "
    "a run by --model_dir."
  )


def restore_best(
  checkpoint: tf.train.Checkpoint, directory: str, *, metric: str, sign: int
) -> str:
  """Restores the best checkpoint of a directory; returns its path.

  Raises:
    UserError: where there is none that is whole.
  """
  found = []
  for prefix in manifest.prefixes(directory):
    with contextlib.suppress(manifest.Damaged):
      kept = manifest.verify(prefix)
      found.append((sign * kept.metrics.get(metric, 0.0), -kept.step, prefix))
  if not found:
    raise UserError(
      f"{directory} has no whole checkpoint: train with evaluations and "
      "--best_to_keep=1, or take --checkpoint=newest."
    )
  best = max(found)[2]
  restore(checkpoint, best)
  return best

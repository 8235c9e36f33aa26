"""The weights of the best evaluations of a run."""

import contextlib
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from engine.durability import manifest, own
from engine.durability.committer import Committer
from engine.errors import CannotBeRead, SaveFailed, Unreadable
from engine.files import DISK_ERRORS, reason_of
from engine.measure.goal import Goal
from engine.measure.ledger import Ledger


class BestCheckpoints:
  """Keeps the weights of the best evaluations, by one metric.

  What is best so far is read from the manifests. Weights that could not be
  written, or are damaged, are copied from the newest checkpoints while these
  have them: with each evaluation, and in the end.
  """

  def __init__(
    self,
    checkpoint: tf.train.Checkpoint,
    *,
    directory: str,
    goal: Goal,
    max_to_keep: int,
    committer: Committer,
    ledger: Ledger,
    newest: str = "",
  ):
    """Initializes the manager.

    Args:
      checkpoint: what is saved.
      directory: where.
      goal: says which evaluation is better.
      max_to_keep: how many are kept (0: none).
      committer: makes them exist.
      ledger: where the seconds of saving go.
      newest: directory of checkpoints of the same steps that hold as much.
    """
    _ = checkpoint.save_counter  # A variable that a restore asks for.
    self._checkpoint = checkpoint
    self._directory = directory
    self._goal = goal
    self._max_to_keep = max_to_keep
    self._committer = committer
    self._ledger = ledger
    self._newest = newest
    self._known: dict[int, Mapping[str, Any]] = {}  # By step, there or not.
    self._lost: set[int] = set()
    self._seen: set[int] = set()  # Steps whose files were read once.

  def rewind(
    self, step: int, evaluations: Sequence[Mapping[str, Any]] = ()
  ) -> None:
    """Forgets what lies behind the restored step; tells what is damaged.

    Args:
      step: that was restored.
      evaluations: log points up to there, with their steps.
    """
    points = {line["step"]: _numbers(line) for line in evaluations}
    for prefix in manifest.prefixes(self._directory):
      its = manifest.step_of(prefix)
      if its > step or not manifest.is_committed(prefix):
        with contextlib.suppress(*DISK_ERRORS):
          manifest.delete(prefix)
        continue
      try:
        self._know(its, manifest.verify(prefix).metrics)
        self._seen.add(its)
      except Unreadable as error:
        logging.warning("best/ckpt-%d: %s.", its, error.brief)
        with contextlib.suppress(Unreadable):
          points[its] = dict(manifest.read_manifest(prefix).metrics)
        self._know(its, points.get(its, {}))
    for its, numbers in points.items():
      # What could not be written is still among the newest.
      if self._newest and manifest.is_committed(self._copy_of(its)):
        self._know(its, numbers)
    with contextlib.suppress(*DISK_ERRORS):
      own.remove_leftovers(self._directory)
    self._mend()

  def check(self, metrics: Mapping[str, Any]) -> None:
    """Raises `UserError` where an evaluation lacks the metric: all ranks do."""
    if self._max_to_keep:
      self._goal.value_of(metrics)

  def offer(self, step: int, metrics: Mapping[str, Any]) -> bool:
    """Keeps the weights if they are better than one of those kept.

    Returns:
      Whether they are kept.

    Raises:
      UserError: where the evaluation has no such metric.
    """
    if not self._max_to_keep:
      return False
    value = self._goal.value_of(metrics)
    self._look()
    self._known.pop(step, None)
    self._mend()
    kept = False
    rivals = self._ranked()[: self._max_to_keep]
    full = len(rivals) == self._max_to_keep
    if value == value and not (full and (value, -step) < rivals[-1]):
      self._known[step] = _numbers(metrics)
      kept = self._write(step, lambda prefix: self._checkpoint.write(prefix))
    self._trim()
    return kept

  def finish(self) -> list[int]:
    """Tries once more what could not be kept.

    Returns:
      The steps whose weights are lost, though they are among the best.

    Raises:
      SaveFailed: where they are in a checkpoint, and cannot be written now.
    """
    self._look()
    self._mend()
    self._trim()
    for step in self._best():
      if not manifest.is_committed(self._prefix(step)):
        raise SaveFailed(
          f"best/ckpt-{step} could not be written to {self._directory}: make "
          "room there, and give the same command."
        )
    return sorted(self._lost)

  @property
  def best(self) -> dict[str, Any] | None:
    """What is known of the best that is kept: step, metric, value."""
    for step in self._best():
      if manifest.is_committed(self._prefix(step)):
        metric = self._goal.metric
        value = self._known[step][metric]
        return {"step": step, "metric": metric, "value": value}
    return None

  def _look(self) -> None:
    """Learns what is kept; what cannot be read now is known from before."""
    for prefix in manifest.prefixes(self._directory):
      with contextlib.suppress(Unreadable):
        found = manifest.read_manifest(prefix)
        self._know(found.step, found.metrics)

  def _know(self, step: int, metrics: Mapping[str, Any]) -> None:
    value = metrics.get(self._goal.metric)
    is_number = isinstance(value, int | float) and value == value
    if is_number and step not in self._lost:
      self._known[step] = metrics

  def _ranked(self) -> list[tuple[float, int]]:
    """(value, -step) of what is known, the best first."""
    known = self._known.items()
    return sorted(
      ((self._goal.value_of(x), -s) for s, x in known), reverse=True
    )

  def _best(self) -> list[int]:
    """The steps whose weights should be there."""
    return [-negative for _, negative in self._ranked()[: self._max_to_keep]]

  def _mend(self) -> None:
    """Writes again what is missing of the best, or tells that it is lost."""
    for step in self._best():
      try:
        manifest.verify(self._prefix(step), contents=step not in self._seen)
        self._seen.add(step)
        continue
      except CannotBeRead:
        continue  # Nobody knows: it is left as it is.
      except Unreadable:
        source = self._copies(step)
      if not source:
        del self._known[step]
        self._lost.add(step)
        logging.warning(
          "The weights of step %d, among the best, are lost: neither %s nor "
          "the newest checkpoints have them.",
          step,
          self._prefix(step),
        )
      elif self._write(step, functools.partial(_copy, source)):
        logging.warning("best/ckpt-%d was copied from %s.", step, source)

  def _copies(self, step: int) -> str:
    """Returns the checkpoint that has the weights of a step, if one does."""
    prefix = self._copy_of(step)
    try:
      if self._newest:
        manifest.verify(prefix)
        return prefix
    except Unreadable:
      pass
    return ""

  def _copy_of(self, step: int) -> str:
    return os.path.join(self._newest, f"ckpt-{step}")

  def _write(self, step: int, write: Callable[[str], object]) -> bool:
    """Writes and commits what belongs to a step; tells what goes wrong."""
    prefix = self._prefix(step)
    if stranger := own.stranger(prefix):
      logging.warning(
        "best/ckpt-%d could not be saved (%s is no regular file).",
        *(step, stranger),
      )
      return False
    with self._ledger.time("checkpoint"):
      try:
        tf.io.gfile.makedirs(self._directory)
        manifest.revoke(prefix)
        write(prefix)
        self._committer.commit(prefix, step, metrics=self._known[step])
        self._seen.add(step)
      except DISK_ERRORS as error:
        logging.warning(
          "best/ckpt-%d could not be saved (%s).", step, reason_of(error)
        )
        with contextlib.suppress(*DISK_ERRORS):
          manifest.delete(prefix)
        return False
    return True

  def _trim(self) -> None:
    """Deletes what is not among the best, once all of these are there."""
    best = self._best()
    if not all(manifest.is_committed(self._prefix(step)) for step in best):
      return
    for step in {*self._known} - {*best}:
      del self._known[step]
      with self._ledger.time("checkpoint"), contextlib.suppress(*DISK_ERRORS):
        manifest.delete(self._prefix(step))

  def _prefix(self, step: int) -> str:
    return os.path.join(self._directory, f"ckpt-{step}")


def _numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
  return {
    name: value
    for name, value in metrics.items()
    if isinstance(value, int | float) and name != "step"
  }


def _copy(source: str, prefix: str) -> None:
  for name in manifest.read_manifest(source).files:
    path = os.path.join(os.path.dirname(source), name)
    target = os.path.join(os.path.dirname(prefix), name)
    tf.io.gfile.copy(path, target, overwrite=True)

"""The logs of a run: opened at its step, brought up to a stop, closed."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from engine.files import DISK_ERRORS
from engine.loop.trainer import Trainer
from engine.measure.journal import Journal
from engine.measure.line_file import LineFile
from engine.measure.terminal import Terminal
from engine.run.actions import ExampleIdLog, Profile, TrainLog
from engine.run.job import Job
from engine.run.starts import StartLog


class Logs:
  """What a run writes beside its checkpoints; all but the chief only read.

  Attributes:
    journal: its log points.
    starts: of its processes.
    profile: of some of its steps.
    files: those whose lines a checkpoint has behind it.
  """

  def __init__(
    self,
    job: Job,
    trainer: Trainer,
    terminal: Terminal,
    *,
    evaluates_again: bool = False,
  ):
    """Opens the logs at the trainer's step; what lies behind it is dropped.

    Args:
      job: whose run it is.
      trainer: restored.
      terminal: shows the log points.
      evaluates_again: whether the evaluation of that very step is dropped too.

    Raises:
      OSError, tf.errors.OpError: where they cannot be written.
    """
    self._job = job
    self._trainer = trainer
    self.journal = Journal(
      job.directory.path,
      step=int(trainer.global_step.numpy()),
      terminal=terminal,
      writes=job.is_chief,
      evaluates_again=evaluates_again,
    )
    self.journal.listeners.append(job.watching.log)
    self.starts = StartLog(
      job.directory.file("restarts.jsonl"),
      self.journal,
      began=time.time() - sum(job.ledger.totals().values()),
      writes=job.is_chief,
    )
    self._ids: list[ExampleIdLog] = []
    if job.config.runtime.log_example_ids and job.is_chief:
      path = job.directory.file("example_ids.jsonl")
      self._ids = [ExampleIdLog(path, trainer)]
    self.files: list[LineFile] = []
    if job.is_chief:
      self.files = [self.journal.file, *(ids.file for ids in self._ids)]
    self.profile = Profile(
      job.config.runtime.profiled if job.is_chief else (),
      job.directory.file("tensorboard/train"),
      trainer,
      self.journal,
    )
    self.profile()

  @property
  def evaluations(self) -> list[dict[str, Any]]:
    """The log points of evaluations."""
    return [line for line in self.journal.lines if line["kind"] == "eval"]

  @property
  def lost(self) -> dict[str, Any]:
    """Name of a file -> how many of its lines were damaged at this start."""
    counts = {
      "metrics.jsonl": self.journal.lost,
      "restarts.jsonl": self.starts.lost,
      "example_ids.jsonl": sum(ids.lost for ids in self._ids),
    }
    return {name: count for name, count in counts.items() if count}

  def train_actions(self) -> list[Callable[[Any], None]]:
    """What is logged after each loop."""
    journal, ledger = self.journal, self._job.ledger
    log = TrainLog(log=journal, trainer=self._trainer, ledger=ledger)
    return [log, *self._ids, self.profile]

  def catch_up(self) -> None:
    """Writes what a stop between two log points would leave out."""
    self.profile.stop()
    for ids in self._ids:
      ids()
    for file in self.files:
      file.append()  # What waits for room gets another chance.

  def stopped(self, step: int) -> None:
    """Closes the logs of a run that stops as it was told to."""
    with contextlib.suppress(*DISK_ERRORS):
      self.journal.close()
    self.starts.stopped(step, self._trainer, self._job.ledger)
    self._job.watching.end(None)

  def close(self) -> None:
    """Closes the logs of a run that has reached its end.

    Raises:
      OSError, tf.errors.OpError: where lines could not be written.
    """
    self.journal.close()
    for ids in self._ids:
      ids.file.close()

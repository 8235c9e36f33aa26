"""The logs of a run: opened at its step, brought up to a stop, closed."""

import contextlib
import time
from typing import Any

from engine.durability.committer import covers
from engine.files import DISK_ERRORS
from engine.lines.cover import Cover
from engine.lines.line_file import LineFile
from engine.loop.trainer import LogPoint, Trainer
from engine.measure.journal import Journal
from engine.measure.terminal import Terminal
from engine.settings import leaves
from engine.telemetry.actions import ExampleIdLog, Profile, TrainLog
from engine.telemetry.digests import DigestLog
from engine.telemetry.job import Job
from engine.telemetry.starts import STARTS, StartLog


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
    step = int(trainer.global_step.numpy())

    def covers_of(name: str) -> list[Cover]:
      if not job.is_chief or evaluates_again:
        return []  # Lines are dropped that checkpoints have behind them.
      return covers(job.directory.checkpoints, name, lambda x: x.step <= step)

    self.journal = Journal(
      job.directory.path,
      step=step,
      terminal=terminal,
      writes=job.is_chief,
      evaluates_again=evaluates_again,
      covers=covers_of("metrics.jsonl"),
    )
    if step == 0:
      self.journal.write_settings({k: v for k, v, _ in leaves(job.config)})
    self.journal.listeners.append(job.watching.log)
    self._ids: list[ExampleIdLog] = []
    if job.config.runtime.log_example_ids and job.is_chief:
      path = job.directory.file("example_ids.jsonl")
      noted = covers_of("example_ids.jsonl")
      self._ids = [ExampleIdLog(path, trainer, noted)]
    self.starts = StartLog(
      job.directory.file(STARTS),
      self.journal,
      began=time.time() - sum(job.ledger.totals().values()),
      writes=job.is_chief,
      lost={
        "metrics.jsonl": self.journal.lost,
        "example_ids.jsonl": sum(ids.lost for ids in self._ids),
      },
    )
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

  def log_points(self) -> list[LogPoint]:
    """What is logged of the steps."""
    journal, ledger = self.journal, self._job.ledger
    runtime, digests = self._job.config.runtime, None
    if runtime.log_weights_digest and self._job.is_chief:
      digests = DigestLog(self._trainer, journal, checks=runtime.check_resume)
    log = TrainLog(
      log=journal, trainer=self._trainer, ledger=ledger, digests=digests
    )
    return [log, *self._ids]

  def catch_up(self) -> None:
    """Writes what a stop between two log points would leave out."""
    self.profile.stop()
    for ids in self._ids:
      ids(int(self._trainer.global_step.numpy()))
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

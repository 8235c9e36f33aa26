"""What a job was asked for, and what it has to do it with."""

import dataclasses
from collections.abc import Collection

import tensorflow as tf

from engine.cluster.strategies import is_chief
from engine.config import ExperimentConfig
from engine.durability.run_directory import RunDirectory
from engine.measure.ledger import Ledger
from engine.process.preemption import Notices
from engine.process.progress import Progress
from engine.process.watching import Watching
from engine.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """One process's part in one run.

  Attributes:
    config: of the run.
    task: what is learned.
    directory: of the run.
    strategy: where the replicas are.
    ledger: where the seconds go.
    progress: tells a supervisor how the run gets on.
    notices: what may tell the run to stop, if anything may.
    command: the command line that resumes it, for the report.
    allowed: settings in which the run may differ from what the directory
      holds.
    watching: who is told how the run gets on; nobody but on the chief.
  """

  config: ExperimentConfig
  task: Task
  directory: RunDirectory
  strategy: tf.distribute.Strategy
  ledger: Ledger
  progress: Progress
  notices: Notices | None
  command: str
  allowed: Collection[str]
  watching: Watching = dataclasses.field(default_factory=Watching)

  @property
  def is_chief(self) -> bool:
    """Whether this process is the one that writes."""
    return is_chief(self.strategy)

  @property
  def quiet(self) -> bool:
    """Whether the terminal shows nothing."""
    return self.config.runtime.quiet or not self.is_chief

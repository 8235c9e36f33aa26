"""What two runs are compared by while they train: digests of the weights."""

from typing import Any

from engine.errors import UserError
from engine.loop.trainer import Trainer
from engine.measure.journal import Journal
from engine.measure.result import weights_sha256

DIGEST, LOSSES = "weights_sha256", "share_losses"


class DigestLog:
  """Adds to a log point what tells its weights from all others.

  A run that resumes trains some steps again which its log has already: there
  the digests must be those that it had logged.
  """

  def __init__(self, trainer: Trainer, journal: Journal, *, checks: bool):
    """Initializes the log.

    Args:
      trainer: whose weights are logged.
      journal: opened at the restored step.
      checks: whether other weights than those that were logged end the run.
    """
    self._trainer = trainer
    self._journal = journal
    self._expected = {
      line["step"]: line[DIGEST]
      for line in journal.dropped
      if checks and line.get(DIGEST)
    }

  def __call__(self, step: int) -> dict[str, Any]:
    """Returns what belongs to the log point of a step.

    Raises:
      UserError: where the run had other weights there before it resumed.
    """
    found = weights_sha256(self._trainer.replica_step.model)
    expected = self._expected.pop(step, found)
    if found != expected:
      self._journal.bring_back(step)
      raise UserError(
        f"At step {step} the weights are {found[:12]}, and were "
        f"{expected[:12]} before this run resumed: resume where it began, or "
        "let it differ by --nocheck_resume; new runs have --reproducible."
      )
    point: dict[str, Any] = {DIGEST: found}
    if shares := self._trainer.replica_step.shares:
      point[LOSSES] = shares.losses.numpy().tolist()
    return point

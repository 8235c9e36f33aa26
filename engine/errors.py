"""The exceptions that doors turn into one line and an exit status."""


class UserError(ValueError):
  """A mistake that its user can mend: doors print it in one line, exit 2.

  The message names the thing, the value and the cure in one sentence.
  """


class PeerLost(RuntimeError):
  """Another worker ended: nobody's mistake, doors exit 75 (EX_TEMPFAIL).

  The same command goes on from the last checkpoint.
  """


class Preempted(RuntimeError):
  """The run was told to stop and has saved: doors exit 75 (EX_TEMPFAIL).

  The same command goes on at the step that it reached.
  """


class StopRequested(Exception):
  """Ends the loops at a step boundary; the message says what asked for it."""


class SaveFailed(RuntimeError):
  """What was computed could not be saved: doors exit 75 (EX_TEMPFAIL)."""


class Busy(RuntimeError):
  """Another job has the directory, and is about to end: doors exit 75.

  The same command goes on behind it.
  """

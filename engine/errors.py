"""The one exception that stands for a user's mistake."""


class UserError(ValueError):
  """A mistake that its user can mend: doors print it in one line, exit 2.

  The message names the thing, the value and the cure in one sentence.
  """

"""What was found of one thing that a run needs."""

import dataclasses

OK, WARNING, BROKEN = "ok", "warning", "BROKEN"


@dataclasses.dataclass(frozen=True)
class Finding:
  """What was found of one thing.

  Attributes:
    level: `OK`, `WARNING` or `BROKEN`.
    subject: the thing.
    found: what there is.
    cure: what to do, where it is not well.
  """

  level: str
  subject: str
  found: str
  cure: str = ""

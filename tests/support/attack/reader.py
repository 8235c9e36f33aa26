"""What a campaign needs to know of one reader."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Reader:
  """One of them.

  Attributes:
    content: a good one.
    read: of a content, in any way altered; it may raise `UserError` alone.
    sealed: whether a content that is altered must not be taken for good.
  """

  content: bytes
  read: Callable[[bytes], object]
  sealed: bool = False

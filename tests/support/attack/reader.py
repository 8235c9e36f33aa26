"""What a campaign needs to know of one reader."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Reader:
  """One of them.

  Attributes:
    content: a good one.
    read: of a content, in any way altered.
    raises: what it may raise, besides `UserError`.
    sealed: whether a content that is altered must not be taken for good.
  """

  content: bytes
  read: Callable[[bytes], object]
  raises: tuple[type[Exception], ...] = ()
  sealed: bool = False

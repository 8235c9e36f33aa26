"""A shard of a store, mapped into memory, and watched."""

import dataclasses
import mmap
import os
import resource
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import UserError
from tasks.data import store_files

_SPARE = 2**8  # Files that a process opens beside.


@dataclasses.dataclass(frozen=True)
class MappedShard:
  """Tokens and pairs of a shard, as `tasks.data.store_files` has them.

  Attributes:
    path: of its directory.
    facts: what is said of it.
    first: the place of its first pair in the store.
    tokens: uint16 or int32 [tokens of all pairs].
    pairs: rows [pairs].
    maps: of both files.
    status: of both files, as they were opened.
  """

  path: str
  facts: Mapping[str, Any]
  first: int
  tokens: np.ndarray
  pairs: np.ndarray
  maps: Sequence[mmap.mmap]
  status: Sequence[tuple[int, ...]]

  @classmethod
  def open(
    cls, path: str, facts: Mapping[str, Any], first: int
  ) -> "MappedShard":
    """Raises `ValueError` or `OSError` where it is not what the facts say."""
    status = _status(path)
    tokens, pairs = store_files.map_shard(path, facts)
    maps: list[Any] = [tokens.base, pairs.base]
    for each in maps:
      each.madvise(mmap.MADV_RANDOM)
    plain = np.asarray(tokens), np.asarray(pairs)
    return cls(path, facts, first, *plain, maps=maps, status=status)

  def check_unchanged(self) -> None:
    """Raises `UserError` where a file is not the one that was opened."""
    try:
      now = _status(self.path)
    except OSError:
      now = []
    if now != self.status:
      raise UserError(
        f"{self.path} has changed since it was opened: let nothing write to it "
        "or remove it while runs use it, and give the command again."
      )


def allow_files(number: int) -> None:
  """Raises the limit of open files where a store needs that: each map is one.

  Raises:
    UserError: where the system does not allow it.
  """
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  needed = number + _SPARE
  if soft != resource.RLIM_INFINITY and soft < needed:
    if hard != resource.RLIM_INFINITY and hard < needed:
      raise UserError(
        f"A store of {number} files needs {needed} open files, and `ulimit -Hn`"
        f" allows {hard}: raise that, or encode with a larger --shard_size."
      )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def mapped_bytes() -> int:
  """Bytes of files that pages of this process hold; 0 where none can tell."""
  try:
    with open("/proc/self/statm", "rb") as file:
      return int(file.read().split()[2]) * mmap.PAGESIZE
  except OSError:
    return 0


def _status(path: str) -> list[tuple[int, ...]]:
  found = (
    os.stat(os.path.join(path, name))
    for name in (store_files.TOKENS, store_files.PAIRS)
  )
  return [(x.st_dev, x.st_ino, x.st_size, x.st_mtime_ns) for x in found]

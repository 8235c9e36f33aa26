"""Programs that XLA has compiled, kept for the next process."""

import os
import re
import stat
from collections.abc import Mapping

from engine.errors import Unreadable, UserError
from engine.files import DISK_ERRORS, is_file, reason_of, sha256_of, write_json
from engine.formats import read_json

_ENTRY = re.compile(r"xla_compile_cache__\d+__\d+__\w+\.pb")  # As XLA names it.
_LIST = "programs.json"


class CompileCache:
  """A directory of compiled programs, each of them as it was written.

      open: what is not listed by its digest goes, and is compiled again
      train: XLA takes a program that is there, or compiles it and adds it
      seal: all that is there now is listed

  XLA compares all of a program before it takes its code, so that changed code
  of ours finds nothing. It compares neither its own version nor the hardware:
  these name the folder. Processes may share one. What one of them is writing
  while another one lists it has another digest in the end: it goes at the next
  start.

  Attributes:
    folder: of the programs for this machine.
  """

  def __init__(self, folder: str):
    """Initializes the cache.

    Args:
      folder: named for this machine; it is made where it is missing.
    """
    self.folder = folder

  def open(self) -> list[str]:
    """Removes what cannot be trusted, before XLA takes any of it.

    Returns:
      The names of the programs that are there.

    Raises:
      UserError: where the directory cannot be written, or where others may
        write to it: programs are machine code.
    """
    try:
      os.makedirs(self.folder, mode=0o700, exist_ok=True)
      self._check_owner()
      programs = self._sweep()
      self._write(programs)
    except DISK_ERRORS as error:
      raise UserError(
        f"`compile_cache` {self.folder} cannot be written ({reason_of(error)}):"
        " choose another directory, or leave it out."
      ) from error
    return [*programs]

  def seal(self) -> list[str]:
    """Lists what is there; a cache that is full or gone stops no run.

    Returns:
      The names of the programs; none where they cannot be listed.
    """
    try:
      programs = {name: self._digest(name) for name in self._entries()}
      self._write(programs)
    except DISK_ERRORS:
      return []
    return [*programs]

  def _check_owner(self) -> None:
    status = os.lstat(self.folder)
    own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if not own or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
      raise UserError(
        f"`compile_cache` {self.folder} may be written by others, and programs "
        "are machine code: remove it, or choose a directory of your own."
      )

  def _sweep(self) -> dict[str, str]:
    """Removes programs that are not as they were listed; returns the others."""
    try:
      listed = read_json(os.path.join(self.folder, _LIST), {str: str})
    except Unreadable:
      listed = {}
    kept = {}
    for name in self._entries():
      if self._digest(name) == listed.get(name):
        kept[name] = listed[name]
      else:
        os.unlink(os.path.join(self.folder, name))
    return kept

  def _entries(self) -> list[str]:
    """Names of programs: regular files that XLA has named."""
    return sorted(
      name
      for name in os.listdir(self.folder)
      if _ENTRY.fullmatch(name) and is_file(os.path.join(self.folder, name))
    )

  def _digest(self, name: str) -> str:
    return sha256_of(os.path.join(self.folder, name))

  def _write(self, programs: Mapping[str, str]) -> None:
    write_json(os.path.join(self.folder, _LIST), programs)

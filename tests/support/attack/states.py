"""Directories as they were at moments: kept once each, and laid out again."""

import hashlib
import os
import pathlib
from collections.abc import Iterator

# (relative path, "directory", "link TARGET" or a digest) of each entry.
State = tuple[tuple[str, str], ...]


class States:
  """Contents of directories, where equal files are stored once."""

  def __init__(self, store: pathlib.Path):
    self._store = store
    store.mkdir(parents=True, exist_ok=True)

  def take(self, directory: str) -> State:
    """Keeps a directory as it is now; one that is not there is empty."""
    found = []
    for parent, folders, names in os.walk(directory):
      for name in folders + names:
        path = os.path.join(parent, name)
        found.append((os.path.relpath(path, directory), self._content(path)))
    if os.path.isdir(directory):
      found.append((".", "directory"))
    return tuple(sorted(found))

  def _content(self, path):
    if os.path.islink(path):
      return f"link {os.readlink(path)}"
    if os.path.isdir(path):
      return "directory"
    with open(path, "rb") as file:
      return self._keep(file.read())

  def _keep(self, content):
    digest = hashlib.sha256(content).hexdigest()
    if not (self._store / digest).exists():
      (self._store / digest).write_bytes(content)
    return digest

  def lay(self, state: State, directory: str) -> None:
    """Makes a directory, which is not there, as it was."""
    for name, content in state:
      path = os.path.normpath(os.path.join(directory, name))
      if content == "directory":
        os.makedirs(path, exist_ok=True)
      elif content.startswith("link "):
        os.symlink(content[5:], path)
      else:
        pathlib.Path(path).write_bytes((self._store / content).read_bytes())

  def torn(self, before: State, after: State) -> Iterator[State]:
    """Yields states between two: a file that grew, in the middle of it.

    One that was renamed did not grow: it has the content of another before.
    """
    old = dict(before)
    for name, content in after:
      if len(content) == 64 and content not in old.values():
        whole = (self._store / content).read_bytes()
        size = 0
        if len(old.get(name, "")) == 64:
          size = (self._store / old[name]).stat().st_size
        if len(whole) - size > 1:
          half = self._keep(whole[: (size + len(whole)) // 2])
          yield tuple(sorted({**dict(after), name: half}.items()))

"""Where imported encoders are kept: each appears whole or not at all."""

import hashlib
import os
from collections.abc import Callable, Iterable

import tensorflow as tf

from engine import files
from engine.errors import Unreadable, UserError
from engine.files import (
  ABANDONED,
  DISK_ERRORS,
  digests_in,
  reason_of,
  sha256_of,
  sweep_parts,
  whole,
  write_json,
)
from engine.formats import read_json, size_of

_LIST = "files.json"
_LISTED = "-listed"  # Directories of earlier versions have no list.


def cache_directory() -> str:
  """Where imported encoders are kept."""
  return files.cache_directory("encoders")


def cached(name: str, make: Callable[[str], None]) -> str:
  """Returns a directory of the cache, which `make` fills the first time.

  It has a list of its files by their digests, to which it is held each time.

  Raises:
    UserError: where the cache cannot be written, or what is there is damaged.
  """
  parent = cache_directory()
  target = os.path.join(parent, f"{name}{_LISTED}")
  if not os.path.exists(target):
    try:
      if os.path.isdir(parent):
        sweep_parts(target, idle=ABANDONED)
      with whole(target) as part:
        _make_directory(part, parent)
        make(part)
        write_json(os.path.join(part, _LIST), digests_in(part))
    except DISK_ERRORS:
      if not os.path.exists(target):  # Else another process was first.
        raise
    return target
  _check(target, os.path.join(target, _LIST))
  return target


def hold(directory: str) -> None:
  """Holds a local directory that was fetched to what was first seen of it.

  Raises:
    UserError: where it is damaged.
  """
  key = key_of(os.path.abspath(directory))
  path = os.path.join(cache_directory(), f"fetched-{key}.json")
  if os.path.exists(path):
    _check(directory, path)
  else:
    write_json(path, digests_in(directory))


def _check(directory: str, path: str) -> None:
  """Holds a directory to the list at a path."""
  try:
    listed = read_json(path, {str: str})
    found = digests_in(directory)
  except (Unreadable, *DISK_ERRORS) as error:
    raise _damaged(directory, reason_of(error)) from error
  for name, digest in listed.items():
    if found.get(name) != digest:
      raise _damaged(directory, f"{name} is not as it was written")


def _damaged(directory: str, reason: str) -> UserError:
  return UserError(
    f"The cache of an encoder in {directory} is damaged ({reason[-90:]}): "
    "remove that directory, and it is made again."
  )


def _make_directory(path: str, cache: str) -> None:
  try:
    os.makedirs(path)
  except OSError as error:
    raise UserError(
      f"The cache {cache} cannot be written ({error.strerror}): set "
      "XDG_CACHE_HOME to another directory."
    ) from error


def key_of(*digests: str) -> str:
  """Returns the name of what was made of files with these digests."""
  return hashlib.sha256("".join(digests).encode()).hexdigest()


def digest_of(path: str) -> str:
  """Returns the SHA-256 of a file of an encoder.

  Raises:
    UserError: where it cannot be read.
  """
  try:
    size_of(path)  # A device has no end.
    return sha256_of(path)
  except Unreadable as error:
    reason = error.why
  except DISK_ERRORS as error:
    reason = f"cannot be read ({reason_of(error)})"
  raise UserError(f"{path} {reason}: fetch the encoder again.")


def copy_all(names: Iterable[str], source: str, target: str) -> None:
  """Copies those files that there are; a kill leaves no half file."""
  for name in names:
    path, goal = os.path.join(source, name), os.path.join(target, name)
    if tf.io.gfile.exists(path):
      with whole(goal) as part:
        tf.io.gfile.copy(path, part)


def copy_tree(source: str, target: str) -> None:
  """Copies a directory, which appears whole; does nothing where it exists."""
  if tf.io.gfile.exists(target):
    return
  with whole(target) as part:
    for parent, _, names in tf.io.gfile.walk(source):
      inner = os.path.relpath(parent, source)
      folder = part if inner == "." else os.path.join(part, inner)
      tf.io.gfile.makedirs(folder)
      for name in names:
        tf.io.gfile.copy(os.path.join(parent, name), os.path.join(folder, name))

"""Where imported encoders are kept: each appears whole or not at all."""

import hashlib
import os
from collections.abc import Callable, Iterable

import tensorflow as tf

from engine.errors import UserError
from engine.files import DISK_ERRORS, reason_of, sha256_of, whole


def cache_directory() -> str:
  """Where imported encoders are kept."""
  home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  return os.path.join(home, "apsis", "encoders")


def cached(name: str, make: Callable[[str], None]) -> str:
  """Returns a directory of the cache, which `make` fills the first time.

  Raises:
    UserError: where the cache cannot be written.
  """
  parent = cache_directory()
  target = os.path.join(parent, name)
  if not os.path.exists(target):
    try:
      with whole(target) as part:
        _make_directory(part, parent)
        make(part)
    except DISK_ERRORS:
      if not os.path.exists(target):  # Else another process was first.
        raise
  return target


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
    return sha256_of(path)
  except tf.errors.OpError as error:
    raise UserError(
      f"{path} cannot be read ({reason_of(error)}): fetch the encoder again."
    ) from error


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

"""Where imported encoders are kept: each appears whole or not at all."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable

import tensorflow as tf

from engine.errors import UserError


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
      os.makedirs(parent, exist_ok=True)
      part = tempfile.mkdtemp(dir=parent)
    except OSError as error:
      raise UserError(
        f"The cache {parent} cannot be written ({error.strerror}): set "
        "XDG_CACHE_HOME to another directory."
      ) from error
    try:
      make(part)
      os.rename(part, target)
    except OSError:
      if not os.path.exists(target):  # Else another process was first.
        raise
    finally:
      shutil.rmtree(part, ignore_errors=True)
  return target


def key_of(*digests: str) -> str:
  """Returns the name of what was made of files with these digests."""
  return hashlib.sha256("".join(digests).encode()).hexdigest()


def sha256_of(path: str) -> str:
  """Returns the digest of a file, local or not.

  Raises:
    UserError: where it cannot be read.
  """
  digest = hashlib.sha256()
  try:
    with tf.io.gfile.GFile(path, "rb") as file:
      while piece := file.read(2**24):
        digest.update(piece)
  except tf.errors.OpError as error:
    reason = " ".join(error.message.split()).rsplit("; ", 1)[-1]
    raise UserError(
      f"{path} cannot be read ({reason}): fetch the encoder again."
    ) from error
  return digest.hexdigest()


def copy_all(names: Iterable[str], source: str, target: str) -> None:
  """Copies those files that there are; a kill leaves no half file."""
  for name in names:
    path, goal = os.path.join(source, name), os.path.join(target, name)
    if tf.io.gfile.exists(path):
      tf.io.gfile.copy(path, goal + ".part", overwrite=True)
      tf.io.gfile.rename(goal + ".part", goal, overwrite=True)


def copy_tree(source: str, target: str) -> None:
  """Copies a directory, which appears whole; does nothing where it exists."""
  if tf.io.gfile.exists(target):
    return
  part = target + ".part"
  if tf.io.gfile.exists(part):
    tf.io.gfile.rmtree(part)
  for parent, _, names in tf.io.gfile.walk(source):
    inner = os.path.relpath(parent, source)
    folder = part if inner == "." else os.path.join(part, inner)
    tf.io.gfile.makedirs(folder)
    for name in names:
      tf.io.gfile.copy(os.path.join(parent, name), os.path.join(folder, name))
  tf.io.gfile.rename(part, target)

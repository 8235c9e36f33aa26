"""What several doors check of their paths, before the slow imports."""

import os

from engine.errors import UserError


def check_run(path: str, flag: str = "") -> None:
  """Refuses a directory that is no run's.

  Args:
    path: of the directory.
    flag: that names it, if one does.

  Raises:
    UserError: where neither settings nor checkpoints are in it.
  """
  exists, is_directory = os.path.exists, os.path.isdir
  if "://" in path:
    # Imported here: it takes seconds, and nobody else can look there.
    import tensorflow as tf

    exists, is_directory = tf.io.gfile.exists, tf.io.gfile.isdir
  if exists(os.path.join(path, "config.yaml")):
    return
  if not is_directory(os.path.join(path, "checkpoints")):
    raise UserError(
      f"{f'`{flag}` ' if flag else ''}{path} holds no run: name the directory "
      "that launch.train was given."
    )


def check_output(flag: str, path: str, *, directory: bool = False) -> None:
  """Refuses a path at which nothing can be written.

  Args:
    flag: that names it.
    path: of the file, or of the directory, that is to be made.
    directory: whether a directory may be there.

  Raises:
    UserError: where it cannot be made.
  """
  if os.path.isdir(path) and not directory:
    raise UserError(f"`{flag}` {path} is a directory: name a file in it.")
  if not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK):
    raise UserError(
      f"`{flag}` {path} cannot be written: its directory is missing or not "
      "yours to write."
    )


def make_directory(flag: str, path: str) -> None:
  """Makes a directory that is to be written to, where there is none.

  Raises:
    UserError: where it cannot be made or written.
  """
  try:
    os.makedirs(path, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"`{flag}` {path} cannot be made ({error.strerror}): name a directory "
      "that is yours to write."
    ) from error
  if not os.access(path, os.W_OK):
    raise UserError(
      f"`{flag}` {path} cannot be written: choose another --{flag}."
    )

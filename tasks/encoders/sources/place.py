"""What `--encoder` names: an address, or a directory and what it holds."""

import os

import tensorflow as tf

from engine.errors import UserError, words_of


def is_handle(name: str) -> bool:
  """Whether a name is an address of TensorFlow Hub."""
  return name.startswith(("https://", "http://"))


def has(directory: str, name: str) -> bool:
  """Whether there is a directory, local or not, that holds a file.

  Raises:
    UserError: where its file system cannot be read.
  """
  if is_handle(directory):
    return False
  try:
    return tf.io.gfile.exists(os.path.join(directory, name))
  except tf.errors.OpError as error:
    raise UserError(
      f"`encoder` {directory} cannot be read ({words_of(error)}): copy it to a "
      "local directory and name that."
    ) from error

"""What a run may delete: its own files, by their exact names.

Never what only looks like them, never through a link, never a whole tree: a
directory of a run may hold what is somebody else's.
"""

import os
import re
from collections.abc import Iterable

import tensorflow as tf

from engine.errors import UserError
from engine.files import (
  is_file,
  is_folder,
  is_link,
  is_local,
  names_in,
  part_of,
)
from engine.formats import reading

_CHECKPOINT = r"ckpt-\d+\.(index|data-\d{5}-of-\d{5})"
_FILES = (
  r"config\.yaml|(data|assets|result|seeds|calibration)\.json|report\.html|room"
  r"|(metrics|restarts|example_ids)\.jsonl(\.\d{12})?"
  rf"|checkpoint|ckpt-\d+\.manifest\.json|{_CHECKPOINT}"
)
# What `engine.files.whole`, the lock and TensorFlow write to before a rename.
_LEFTOVER = re.compile(
  rf"\.?({_FILES})\.\d+\.\d+\.part"
  r"|lock\.json\.[0-9a-f]{32}\.part"
  rf"|{_CHECKPOINT}\.tempstate\d+"
  r"|checkpoint\.tmp[0-9a-f]{32}"
)
_TEMPORARY = re.compile(r"ckpt-\d+_temp")  # A directory of TensorFlow.
_SHARD = re.compile(
  r"part-\d{5}-of-\d{5}\.(index|data-\d{5}-of-\d{5})(\.tempstate\d+)?"
)


def leftovers(directory: str) -> list[str]:
  """Paths of what TensorFlow and we leave where a write is killed or fails."""
  names = names_in(directory)
  found = []
  for name in names:
    path = os.path.join(directory, name)
    if _TEMPORARY.fullmatch(name):
      if is_folder(path):
        found.append(path)
      continue
    # A task's own file has been there before, or nobody knows whose it is.
    if (_LEFTOVER.fullmatch(name) or part_of(name) in names) and is_file(path):
      found.append(path)
  return found


def size(path: str) -> int:
  """Bytes of a leftover."""
  if is_folder(path):
    return sum(size(os.path.join(path, name)) for name in names_in(path))
  return tf.io.gfile.stat(path).length if is_file(path) else 0


def remove(path: str) -> bool:
  """Removes a file, or what TensorFlow left in a temporary directory.

  Returns:
    Whether it has gone; a link and what else is in that directory stay.

  Raises:
    OSError, tf.errors.OpError: where the disk does not let it go.
  """
  try:
    if is_file(path):
      tf.io.gfile.remove(path)
    elif is_folder(path) and _TEMPORARY.fullmatch(os.path.basename(path)):
      for name in names_in(path):
        shard = os.path.join(path, name)
        if _SHARD.fullmatch(name) and is_file(shard):
          tf.io.gfile.remove(shard)
      if not names_in(path):
        (os.rmdir if is_local(path) else tf.io.gfile.rmtree)(path)
    return not tf.io.gfile.exists(path) and not is_link(path)
  except (FileNotFoundError, tf.errors.NotFoundError):
    return True  # Its owner was faster.


def stranger(prefix: str) -> str:
  """Returns what is in the place of a file of a checkpoint and is no file."""
  folder, name = os.path.split(prefix)
  for entry in names_in(folder):
    path = os.path.join(folder, entry)
    wrong = entry.startswith(f"{name}.") and not is_file(path)
    # TensorFlow would write through it.
    if wrong or (entry == f"{name}_temp" and is_link(path)):
      return path
  return ""


def check_places(prefixes: Iterable[str]) -> None:
  """Refuses what lies where a file of a checkpoint is to be written.

  Raises:
    UserError: where it is no regular file, or the disk does not say.
  """
  for prefix in prefixes:
    with reading(os.path.dirname(prefix)):
      found = stranger(prefix)
    if found:
      raise UserError(
        f"{found} is no regular file, and a checkpoint is to be written there: "
        "remove it or move it away; the same command goes on."
      )


def remove_leftovers(directory: str) -> None:
  """Removes them."""
  for path in leftovers(directory):
    remove(path)

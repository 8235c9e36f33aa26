"""Files that are whole or not there, local or not: written, read, digested."""

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from typing import Any

import tensorflow as tf

from engine.errors import without_ops

# What a disk says that is full, gone or read-only.
DISK_ERRORS = (tf.errors.OpError, OSError)
_CHUNK = 2**22  # Bytes.
ABANDONED = 3600.0  # Seconds that no writer takes between two writes.
# As `whole` names them: of which name, by which process.
_PART = re.compile(r"\.(.+)\.(\d+)\.\d+\.part")


def is_local(path: str | os.PathLike[str]) -> bool:
  """Whether a path is of a file system, where links and devices are."""
  return "://" not in os.fspath(path)


def cache_directory(kind: str) -> str:
  """Where what can be made again is kept, for all runs of a user."""
  home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  return os.path.join(home, "apsis", kind)


def _mode(path: str, *, follow: bool = False) -> int:
  """The mode of what is at a local path; 0 where nothing is."""
  try:
    return os.stat(path, follow_symlinks=follow).st_mode
  except (FileNotFoundError, NotADirectoryError):
    return 0
  except OSError as error:
    if error.errno == errno.ELOOP:  # Links to each other lead to nothing.
      return 0
    raise


def is_link(path: str) -> bool:
  """Whether a path is a link; where there are none it is not.

  As the next two, it raises OSError where that cannot be seen now: what is
  there is not taken for gone, nor a link for a directory.
  """
  return is_local(path) and stat.S_ISLNK(_mode(path))


def is_file(path: str) -> bool:
  """Whether a regular file is at a path itself, and no link to one."""
  if not is_local(path):
    return tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path)
  return stat.S_ISREG(_mode(path))


def is_folder(path: str) -> bool:
  """Whether a directory is at a path itself, and no link to one."""
  if not is_local(path):
    return tf.io.gfile.isdir(path)
  return stat.S_ISDIR(_mode(path))


def names_in(directory: str) -> list[str]:
  """Names of what is in a directory; none where there is no directory.

  Raises:
    OSError, tf.errors.OpError: where that cannot be seen now.
  """
  try:
    if is_local(directory):
      return sorted(os.listdir(directory or os.curdir))
    # A store that lists a directory itself, too, shows an empty name.
    names = (name.rstrip("/") for name in tf.io.gfile.listdir(directory))
    return sorted(filter(None, names))
  except (FileNotFoundError, tf.errors.NotFoundError):
    return []


def is_free(path: str) -> bool:
  """Whether a file can be put at a path: nothing is there, or a file."""
  if is_local(path):
    return os.path.isfile(path) or not os.path.lexists(path)
  return not tf.io.gfile.isdir(path)


def is_full(error: Exception) -> bool:
  """Whether a disk has no room."""
  return isinstance(error, tf.errors.ResourceExhaustedError) or getattr(
    error, "errno", 0
  ) in (errno.ENOSPC, errno.EDQUOT)


def reason_of(error: Exception) -> str:
  """What a disk has against a write, without TensorFlow's names of ops."""
  text = getattr(error, "strerror", None) or str(error)
  return without_ops(text).rsplit("; ", 1)[-1].strip()[-150:]


@contextlib.contextmanager
def whole(path: str, *, named: bool = False) -> Iterator[str]:
  """Gives a path to write to; what was written becomes `path` at the end.

      with whole("plan.png") as part:
        figure.savefig(part)

  A file takes the place of an older one; a directory does not. A block that
  fails leaves nothing, one that is killed what `parts_in` finds: its name
  begins with a dot, so that no pattern of shards matches it.

  Args:
    path: of a file or a directory.
    named: whether a user named this file: then a pipe or a device is written to
      as it is. In the place of a file of ours it might hold us up for ever.

  Raises:
    OSError, tf.errors.OpError: where it cannot be written.
  """
  mode = _mode(path, follow=True) if is_local(path) else 0
  if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
    if not named:
      raise FileExistsError(errno.EEXIST, f"{path} is no regular file", path)
    yield path
    return
  part = part_path(path)
  try:
    yield part
    tf.io.gfile.rename(part, path, overwrite=not tf.io.gfile.isdir(part))
  except BaseException:
    with contextlib.suppress(*DISK_ERRORS):
      isdir = tf.io.gfile.isdir(part)
      (tf.io.gfile.rmtree if isdir else tf.io.gfile.remove)(part)
    raise


def part_path(path: str) -> str:
  """Returns a path beside a file for what is not yet it, or not any more."""
  folder, name = os.path.split(path)
  own = f".{name}.{os.getpid()}.{time.monotonic_ns()}.part"
  return os.path.join(folder, own)


def part_of(name: str) -> str | None:
  """Returns the name of what was to be whole; None where it is no part."""
  match = _PART.fullmatch(name)
  return match[1] if match else None


def parts_in(directory: str, names: Collection[str]) -> list[str]:
  """Paths of what killed writers left in a directory.

  Args:
    directory: where.
    names: of what they wrote; what was written to other names is not theirs.
  """
  found = []
  for entry in names_in(directory):
    path = os.path.join(directory, entry)
    if part_of(entry) in names and not is_link(path):
      found.append(path)
  return found


def parts_of(path: str) -> list[str]:
  """As `parts_in`, of one file or directory."""
  folder, name = os.path.split(path)
  return parts_in(folder, [name])


def sweep_parts(path: str, *, idle: float = 0.0) -> list[str]:
  """Deletes what killed writers of a file or a directory left beside it.

  Nothing of a process that lives, and no link: that stays, with all behind it.

  Args:
    path: as `whole` was given it; a local one.
    idle: seconds for which nothing has been written to it; where machines share
      a directory, no process of another one is known here.

  Returns:
    What has gone.
  """
  swept = []
  for part in parts_of(path):
    match = _PART.fullmatch(os.path.basename(part))
    if match is None or os.path.exists(f"/proc/{match[2]}"):
      continue
    if idle and time.time() - _written(part) < idle:
      continue
    if is_file(part):
      os.unlink(part)
    for root, _, files in os.walk(part, topdown=False):
      for file in files:
        if is_file(os.path.join(root, file)):
          os.unlink(os.path.join(root, file))
      with contextlib.suppress(OSError):  # Something has stayed in it.
        os.rmdir(root)
    if not os.path.exists(part):
      swept.append(part)
  return swept


def _written(part: str) -> float:
  """When something was last written to a file, or below a directory."""
  below = [os.path.join(root, x) for root, _, xs in os.walk(part) for x in xs]
  return max(os.lstat(x).st_mtime for x in (part, *below))


def write_atomically(
  path: str, content: str | bytes, *, named: bool = False
) -> None:
  """Writes a file that is there whole or not at all, as `whole` does."""
  mode = "w" if isinstance(content, str) else "wb"
  with whole(path, named=named) as part, tf.io.gfile.GFile(part, mode) as file:
    file.write(content)


def write_json(path: str, values: Any, *, named: bool = False) -> None:
  """Writes values as JSON, whole or not at all, as `whole` does."""
  write_atomically(path, json.dumps(values, indent=2) + "\n", named=named)


def json_digest(values: Any) -> str:
  """Returns the SHA-256 of values as JSON, whatever the order of their keys."""
  plain = json.loads(json.dumps(values))  # Keys that were numbers are words.
  return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def digests_in(directory: str) -> dict[str, str]:
  """Returns path below a directory -> SHA-256 of the files that are whole.

  Raises:
    OSError, tf.errors.OpError: where one cannot be read, or seen: it is there.
  """
  found = {}
  for name in names_in(directory):
    path = os.path.join(directory, name)
    shown = name.encode(errors="backslashreplace").decode()
    if shown != name:  # Not UTF-8: TensorFlow opens none, so none is ours.
      found[shown] = ""
    elif is_folder(path):
      below = digests_in(path)
      found |= {f"{name}/{inner}": x for inner, x in below.items()}
    elif is_file(path) and not part_of(name):
      found[name] = sha256_of(path)
  return found


def sha256_of(path: str) -> str:
  """Returns the SHA-256 of a file, in hexadecimal digits.

  Raises:
    tf.errors.OpError: where it cannot be read.
  """
  digest = hashlib.sha256()
  with tf.io.gfile.GFile(path, "rb") as file:
    while chunk := file.read(_CHUNK):
      digest.update(chunk)
  return digest.hexdigest()

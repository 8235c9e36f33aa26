"""What can be wrong with a file: each kind of damage, done to a file."""

import errno
import json
import os
import pathlib
import random
from collections.abc import Callable, Mapping

from tests.support.attack import faulty_files

# Of this much a reader that has no bounds takes notice.
_HUGE = 2**26  # Bytes.
_READS = frozenset({"open", "read", "list"})


def _cut(path, generator):
  os.truncate(path, path.stat().st_size * generator.randrange(10, 90) // 100)


def _emptied(path, generator):
  os.truncate(path, 0)


def _one_bit(path, generator):
  content = bytearray(path.read_bytes())
  if content:
    place = generator.randrange(len(content))
    content[place] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def _wrong_types(path, generator):
  """Of a value in it, where it is JSON; else it is a number, and no more."""
  text = path.read_bytes()
  others = [5, -1, 1e308, "x", None, True, [], {}, ["x"], {"x": 1}]
  try:
    first, *rest = text.splitlines(keepends=True)
    lines = path.suffix == ".jsonl"
    values = json.loads(first if lines else text)
    name = generator.choice(list(values))
    values[name] = generator.choice(others)
    path.write_bytes(json.dumps(values).encode() + b"\n")
    if lines:
      path.write_bytes(path.read_bytes() + b"".join(rest))
  except (ValueError, TypeError, KeyError, IndexError):
    path.write_bytes(b"5\n")


def _another_value(path, generator):
  path.write_bytes(generator.choice([b"5\n", b"[]\n", b"null\n", b'"x"\n']))


def _no_utf8(path, generator):
  path.write_bytes(b"\xff\xfe\x00\x80" + path.read_bytes())


def _nested(path, generator):
  path.write_bytes(generator.choice([b"[", b'{"a":']) * 100_000)


def _huge(path, generator):
  with open(path, "ab") as file:
    file.write(b" " * _HUGE)


def _missing(path, generator):
  path.unlink()


def _directory(path, generator):
  path.unlink()
  path.mkdir()
  (path / "kept.txt").write_text("x")


def _pipe(path, generator):
  path.unlink()
  os.mkfifo(path)


def _endless(path, generator):
  path.unlink()
  path.symlink_to("/dev/zero")


WOUNDS: Mapping[str, Callable[[pathlib.Path, random.Random], None]] = {
  "cut": _cut,
  "emptied": _emptied,
  "one bit": _one_bit,
  "wrong types": _wrong_types,
  "another value": _another_value,
  "no UTF-8": _no_utf8,
  "nested 100,000 deep": _nested,
  "64 MiB longer": _huge,
  "missing": _missing,
  "a directory": _directory,
  "a pipe": _pipe,
  "a link to /dev/zero": _endless,
}


def _denied(path):
  def answer(operation):
    if operation.path == path and operation.kind in _READS:
      return errno.EACCES
    return faulty_files.GO

  return answer


def _once(path):
  left = [1]

  def answer(operation):
    if left and operation.path == path and operation.kind in _READS:
      left.pop()
      return errno.EIO
    return faulty_files.GO

  return answer


# Of what the machine says, the file being whole: root may read everything.
REFUSALS = {"unreadable": _denied, "a read fails once": _once}

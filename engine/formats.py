"""Reads what files hold: whatever is wrong with one is one kind of error.

A reader gives a value of the shape that is asked for, or raises `Missing`,
`CannotBeRead` or `Damaged`, all `engine.errors.Unreadable`. What it reads is
bounded, and a regular file where it is on a disk of this machine: neither a
device nor a pipe holds it up.
"""

import contextlib
import functools
import io
import json
import os
import re
import stat
import typing
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from engine import yaml_text
from engine.errors import CannotBeRead, Damaged, Missing, shortened, words_of
from engine.files import DISK_ERRORS, is_local, reason_of

NUMBER = int | float
_MOST = 2**26  # Bytes of a file, or of a line of one.
_CHUNK = 2**20  # Bytes.
_DEEPEST = 50  # Levels of YAML.


class Lines(NamedTuple):
  """What a file of lines holds.

  Attributes:
    values: of the lines that are as they must be, in their order.
    damaged: numbers, from 1, of those that are not. The end of the last line
      may be missing: a killed process leaves its beginning.
  """

  values: list[Any]
  damaged: list[int]


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
  """Turns what a disk says of a read into `Missing` or `CannotBeRead`.

  Args:
    path: of what is read in the block.
  """
  try:
    yield
  except (tf.errors.NotFoundError, FileNotFoundError) as error:
    raise Missing(path) from error
  except DISK_ERRORS as error:
    raise CannotBeRead(path, f"cannot be read ({reason_of(error)})") from error


def tell_once(path: str, text: str) -> None:
  """Tells what is wrong with a file, once while it is as it is.

  Several parts of a start read the same file.
  """
  stamp = 0
  with contextlib.suppress(*DISK_ERRORS):
    stamp = tf.io.gfile.stat(path).mtime_nsec
  _tell(path, stamp, text)


@functools.cache
def _tell(path: str, stamp: int, text: str) -> None:
  del path, stamp  # What was told of one file is not told of another.
  logging.warning("%s", text)


def size_of(path: str) -> int:
  """Returns the bytes of a regular file.

  Raises:
    Unreadable: where it is none.
  """
  with reading(path):
    if is_local(path):
      status = os.stat(path)
      if not stat.S_ISREG(status.st_mode):
        raise Damaged(path, "is no regular file")
      return status.st_size
    found = tf.io.gfile.stat(path)
    if found.is_directory:
      raise Damaged(path, "is a directory")
    return found.length


def read_bytes(path: str, limit: int = _MOST) -> bytes:
  """Reads a file of at most `limit` bytes.

  Raises:
    Unreadable: where that cannot be done.
  """
  size_of(path)
  with reading(path), tf.io.gfile.GFile(path, "rb") as file:
    content = file.read(limit + 1)
  if len(content) > limit:
    raise Damaged(path, f"has more than {limit} bytes")
  return content


def read_json(
  path: str, shape: Any = object, limit: int = _MOST, *, wide: bool = False
) -> Any:
  """Reads JSON of a shape, see `misfit`.

  Args:
    path: of the file.
    shape: of what it holds.
    limit: bytes of it.
    wide: whether integers of more than 64 bits are read, as floats.

  Raises:
    Unreadable: where there is no such.
  """
  parse = functools.partial(_from_json, decoder=_WIDE) if wide else _from_json
  return _parsed(path, read_bytes(path, limit), parse, shape)


def read_yaml(path: str, shape: Any = dict, limit: int = _MOST) -> Any:
  """Reads YAML of a shape that JSON could hold as well: it has no dates.

  Raises:
    Unreadable: where there is no such.
  """
  return _parsed(path, read_bytes(path, limit), _from_yaml, shape)


def read_lines(path: str, shape: Any = dict, limit: int = _MOST) -> Lines:
  """Reads JSON lines of a shape; those that are not so stop no others.

  Args:
    path: of the file.
    shape: of each line.
    limit: bytes of a line.

  Raises:
    Unreadable: where there is no such file, or it cannot be read to its end.
  """
  size_of(path)
  values, damaged = [], []
  for number, line in enumerate(_raw_lines(path, limit), 1):
    try:
      values.append(_parsed(path, line, _from_json, shape))
    except Damaged:
      if line.endswith(b"\n") or not line.startswith(b"{"):
        damaged.append(number)
  return Lines(values, damaged)


def read_arrays(
  path: str, dimensions: Mapping[str, int], limit: int = _MOST * 16
) -> dict[str, np.ndarray]:
  """Reads the arrays of an .npz file.

  Args:
    path: of the file.
    dimensions: of arrays that it must have.
    limit: bytes of the file, and of its arrays together.

  Raises:
    Unreadable: where there are no such.
  """

  def parse(content: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as members:
      if sum(x.file_size for x in members.infolist()) > limit:
        raise ValueError(f"its arrays have more than {limit} bytes")
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
      arrays = {name: np.asarray(found[name]) for name in found.files}
    for name, number in dimensions.items():
      if name not in arrays or arrays[name].ndim != number:
        raise ValueError(f"`{name}` must be an array of {number} dimensions")
    return arrays

  return _parsed(path, read_bytes(path, limit), parse, object)


def misfit(value: Any, shape: Any, place: str = "") -> str:
  """Says what of a value is not of a shape; "" if all is.

  Args:
    value: of JSON or YAML.
    shape: a type or a union of such; [shape of each]; {str: shape of each}; or
      {name: shape}, where "name?" may be missing and others may be there.
    place: of the value, for what is said.
  """
  if isinstance(shape, list):
    if not isinstance(value, list):
      return f"`{place}` is no list"
    found = (misfit(x, shape[0], f"{place}[{i}]") for i, x in enumerate(value))
    return next(filter(None, found), "")
  if isinstance(shape, Mapping):
    if not isinstance(value, dict):
      return f"`{place}` is no mapping" if place else "it is no mapping"
    if [*shape] == [str]:
      shape = dict.fromkeys(value, shape[str])
    for key, inner in shape.items():
      name, inside = key.removesuffix("?"), f"{place}.{key}".strip(".?")
      if name not in value:
        if key == name:
          return f"`{inside}` is missing"
      elif wrong := misfit(value[name], inner, inside):
        return wrong
    return ""
  types = typing.get_args(shape) or (shape,)
  # True is an int for Python alone.
  if isinstance(value, bool) and not {bool, object} & {*types}:
    types = ()
  if isinstance(value, types):
    return ""
  shown = f"`{place}`" if place else "it"
  return f"{shown} is {type(value).__name__}"


def _parsed(
  path: str, content: bytes, parse: Callable[[bytes], Any], shape: Any
) -> Any:
  # Libraries raise about anything: errors of recursion, of index, of zlib.
  try:
    value = parse(content)
  except Exception as error:
    raise Damaged(path, f"is damaged ({words_of(error, 90)})") from error
  if wrong := misfit(value, shape):
    raise Damaged(path, f"is damaged ({wrong})")
  return value


def _raw_lines(path: str, limit: int) -> Iterator[bytes]:
  """Yields lines with their ends; of one that is too long, its beginning."""
  with reading(path), tf.io.gfile.GFile(path, "rb") as file:
    line = bytearray()
    while chunk := file.read(_CHUNK):
      for part in chunk.splitlines(keepends=True):
        line += part[: max(0, limit - len(line))]
        if part.endswith(b"\n"):
          yield bytes(line).removesuffix(b"\n") + b"\n"
          line.clear()
    if line:
      yield bytes(line)


def _int(digits: str) -> int:
  """A number as all that reads it can hold it."""
  if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
    raise ValueError(f"{shortened(digits, 20)} has more than 64 bits")
  return int(digits)


_JSON = json.JSONDecoder(parse_int=_int)
_WIDE = json.JSONDecoder(
  parse_int=lambda x: int(x) if len(x) < 20 else float(x)
)


def _from_json(content: bytes, decoder: json.JSONDecoder = _JSON) -> Any:
  text = content.decode("utf-8-sig")
  value = decoder.decode(text)
  if re.search(r"\\u[dD][89a-fA-F]", text):
    json.dumps(value, ensure_ascii=False).encode()  # No half of a character.
  return value


def _from_yaml(content: bytes) -> Any:
  value = yaml_text.parse(content.decode())
  _check_plain(value, _DEEPEST)
  return value


def _check_plain(value: Any, levels: int) -> None:
  """Raises `ValueError` where JSON could not hold a value as it is."""
  if not levels:
    raise ValueError("it is too deep")
  if isinstance(value, dict):
    for name, inner in value.items():
      _check_plain(name, 1)
      if not isinstance(name, str):
        raise ValueError(f"{shortened(name, 20)} is no name")
      _check_plain(inner, levels - 1)
  elif isinstance(value, list):
    for inner in value:
      _check_plain(inner, levels - 1)
  elif isinstance(value, str):
    value.encode()
  elif type(value) is int:
    _int(str(value))
  elif not isinstance(value, bool | float | None):
    raise ValueError(f"{shortened(value, 20)} is a {type(value).__name__}")

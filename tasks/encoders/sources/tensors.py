"""Weights in safetensors, whole or in shards; what a weight must be at all."""

import os
import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import safetensors
import tensorflow as tf

from engine.errors import Unreadable, UserError, quoted, shortened, words_of
from engine.formats import read_json, size_of

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SHARD = re.compile(r"model-.*\.safetensors")
# What else Hugging Face's libraries have written: in pickle, or in HDF5.
_OTHERS = (
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
  "tf_model.h5",
  "flax_model.msgpack",
)
_FLOATS = ("F64", "F32", "F16", "BF16")
_TYPES = (np.float64, np.float32, np.float16, tf.bfloat16.as_numpy_dtype)


def are_in(directory: str) -> bool:
  """Whether a directory has weights, in a layout that is read or in another."""
  paths = [os.path.join(directory, x) for x in (_WHOLE, _INDEX, *_OTHERS)]
  return any(map(tf.io.gfile.exists, paths)) or bool(_shards(directory))


def files_of(directory: str) -> list[str]:
  """Returns the paths of the weights in a directory of Hugging Face's layout.

  Raises:
    UserError: where there are none that can be read.
  """
  whole, index = (os.path.join(directory, x) for x in (_WHOLE, _INDEX))
  if os.path.lexists(whole):
    return [_checked(whole)]
  if not os.path.lexists(index):
    raise _none(directory)
  try:
    places = read_json(index, {"weight_map": {str: str}})["weight_map"]
  except Unreadable as error:
    raise _again(index, error.why) from error
  shards = sorted(set(places.values()))
  if not shards:
    raise _again(index, "names no shards")
  if strange := [name for name in shards if name != os.path.basename(name)]:
    raise _again(
      index, f"names {quoted(strange[0])}, which is no file beside it"
    )
  return [_checked(os.path.join(directory, name)) for name in shards]


def names_in(paths: list[str]) -> list[str]:
  """Returns the names of all weights; reads no more than those.

  Raises:
    UserError: where a file is damaged, or two hold the same weight.
  """
  found: dict[str, str] = {}
  for path in paths:
    for name in _opened(path).keys():  # noqa: SIM118
      if name in found:
        raise _again(path, f"holds `{shortened(name)}`, as {found[name]} does")
      found[name] = path
  return [*found]


def headers(paths: list[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
  """Returns type and shape of each weight, by name; reads no values.

  Raises:
    UserError: where a file is damaged, or two hold the same weight.
  """
  names_in(paths)
  found = {}
  for path in paths:
    file = _opened(path)
    for name in file.keys():  # noqa: SIM118
      part = file.get_slice(name)
      found[name] = (part.get_dtype(), tuple(part.get_shape()))
  return found


def are_halves(paths: list[str]) -> bool:
  """Whether there are weights of 16 bits."""
  return any(kind in ("F16", "BF16") for kind, _ in headers(paths).values())


def read(
  paths: list[str], wanted: Collection[str]
) -> Iterator[tuple[str, np.ndarray]]:
  """Yields name and value of the weights that are wanted.

  Raises:
    UserError: where a file is damaged, or a value no number of a weight.
  """
  for path in paths:
    file = _opened(path)
    for name in {*wanted} & {*file.keys()}:
      kind = file.get_slice(name).get_dtype()
      if kind not in _FLOATS:
        raise _no_weight(path, name, f"of type {kind}")
      try:
        yield name, file.get_tensor(name)
      except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _again(path, f"cannot be read ({words_of(error)})") from error


def as_weight(array: np.ndarray, name: str, source: str) -> np.ndarray:
  """Returns a weight as float32.

  Raises:
    UserError: where it is not of floats, or not finite.
  """
  array = np.asarray(array)
  if array.dtype not in _TYPES:
    raise _no_weight(source, name, f"of type {array.dtype}")
  with np.errstate(over="ignore"):
    array = array.astype(np.float32)
  wrong = array.size - np.count_nonzero(np.isfinite(array))
  if wrong:
    what = f"not finite in {wrong} of its {array.size} places"
    raise _no_weight(source, name, what)
  return array


def _checked(path: str) -> str:
  try:
    size_of(path)
  except Unreadable as error:
    raise _again(path, error.why) from error
  return path


def _opened(path: str) -> Any:
  try:
    return safetensors.safe_open(path, framework="numpy")
  except (OSError, safetensors.SafetensorError, ValueError) as error:
    raise _again(path, f"cannot be read ({words_of(error)})") from error


def _shards(directory: str) -> list[str]:
  names = os.listdir(directory) if os.path.isdir(directory) else []
  return [os.path.join(directory, x) for x in names if _SHARD.fullmatch(x)]


def _none(directory: str) -> UserError:
  if shards := _shards(directory):
    return _again(min(shards), f"is one of some, but there is no {_INDEX}")
  other = [x for x in _OTHERS if tf.io.gfile.exists(os.path.join(directory, x))]
  if not other:
    return UserError(
      f"{directory} has no weights, {_WHOLE}: fetch the encoder again."
    )
  return UserError(
    f"{directory} has its weights in {other[0]}, which is not read: where "
    "Transformers and PyTorch are installed, write model.safetensors by "
    "`AutoModel.from_pretrained(DIR).save_pretrained(DIR)`."
  )


def _no_weight(source: str, name: str, what: str) -> UserError:
  return UserError(
    f"`{shortened(name, 80)}` in {source} is {what}: weights are finite "
    "numbers of 16, 32 or 64 bits; fetch the encoder again, or choose another."
  )


def _again(path: str, why: str) -> UserError:
  return UserError(f"The weights {path} {why}: fetch the encoder again.")

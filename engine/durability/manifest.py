"""The manifest of a checkpoint: what it holds, and the proof that it is whole.

It is written last: a checkpoint without a manifest was never finished. It names
each file with its size and SHA-256, so that damage is found before TensorFlow
reads it.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from engine.errors import UserError
from engine.files import read_json, sha256_of, write_json

FORMAT = 1
_SUFFIX = ".manifest.json"
_LEFTOVER = r".*\.part$|ckpt-\d+_temp|ckpt-\d+\.index\.|checkpoint\.tmp"


class Damaged(Exception):
  """A checkpoint that cannot be trusted; the message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
  """What is known of one checkpoint.

  Attributes:
    step: the global step.
    time: seconds since the epoch when it was committed.
    config: dotted name -> value of each setting that identifies the run.
    config_digest: of `config`, SHA-256.
    versions: package -> version that wrote it.
    metrics: of the evaluation that it was kept for, if it was.
    files: name -> {"size": bytes, "sha256": hexadecimal}.
    format: version of the manifest itself.
  """

  step: int
  time: float
  config: dict[str, Any]
  config_digest: str
  versions: dict[str, str]
  metrics: dict[str, float]
  files: dict[str, dict[str, Any]]
  format: int = FORMAT


def write_manifest(
  prefix: str,
  *,
  step: int,
  config: Mapping[str, Any],
  versions: Mapping[str, str],
  metrics: Mapping[str, float] | None = None,
) -> Manifest:
  """Commits the checkpoint whose files lie behind `prefix`."""
  text = json.dumps(config, sort_keys=True, default=str)
  manifest = Manifest(
    step=step,
    time=time.time(),
    config=json.loads(text),
    config_digest=hashlib.sha256(text.encode()).hexdigest(),
    versions=dict(versions),
    metrics=dict(metrics or {}),
    files={os.path.basename(path): _facts(path) for path in _files(prefix)},
  )
  write_json(prefix + _SUFFIX, dataclasses.asdict(manifest))
  return manifest


def read_manifest(prefix: str) -> Manifest:
  """Reads the manifest of a checkpoint; looks at no other file.

  Raises:
    Damaged: where there is none, or it cannot be read.
    UserError: where a newer Apsis has written it.
  """
  path = prefix + _SUFFIX
  name = os.path.basename(path)
  try:
    values = read_json(path)
  except tf.errors.NotFoundError:
    raise Damaged(f"{name} is missing: it was never finished") from None
  except (tf.errors.OpError, ValueError) as error:
    raise Damaged(f"{name} cannot be read") from error
  if not isinstance(values, dict) or not isinstance(values.get("format"), int):
    raise Damaged(f"{name} is no manifest")
  if values["format"] > FORMAT:
    raise UserError(
      f"{path} has format {values['format']}, but this Apsis reads formats up "
      f"to {FORMAT}: use the Apsis that wrote it, or a newer one."
    )
  try:
    manifest = Manifest(**values)
  except TypeError as error:
    raise Damaged(f"{name} is no manifest") from error
  if not isinstance(manifest.files, dict):
    raise Damaged(f"{name} is no manifest")
  return manifest


def verify(prefix: str) -> Manifest:
  """Holds the files of a checkpoint against its manifest.

  Raises:
    Damaged: naming the first file that is missing, short or altered.
    UserError: where a newer Apsis has written it.
  """
  manifest = read_manifest(prefix)
  directory = os.path.dirname(prefix)
  if not manifest.files:
    raise Damaged(f"{os.path.basename(prefix)}{_SUFFIX} names no file")
  for name, facts in manifest.files.items():
    path = os.path.join(directory, name)
    try:
      size = tf.io.gfile.stat(path).length
      if size != facts["size"]:
        raise Damaged(f"{name} has {size} bytes instead of {facts['size']}")
      if sha256_of(path) != facts["sha256"]:
        raise Damaged(f"{name} was altered: its SHA-256 differs")
    except tf.errors.NotFoundError:
      raise Damaged(f"{name} is missing") from None
    except (tf.errors.OpError, KeyError, TypeError) as error:
      raise Damaged(f"{name} cannot be read") from error
  return manifest


def prefixes(directory: str) -> list[str]:
  """Prefixes of all checkpoints in a directory, finished or not, by step."""
  if not tf.io.gfile.isdir(directory):
    return []
  names = {
    match[1]
    for name in tf.io.gfile.listdir(directory)
    if (match := re.match(r"(ckpt-\d+)\.(index$|data-|manifest\.json$)", name))
  }
  steps = sorted(int(name.split("-")[1]) for name in names)
  return [os.path.join(directory, f"ckpt-{step}") for step in steps]


def step_of(prefix: str) -> int:
  """Returns the step in the name of a checkpoint."""
  return int(prefix.rsplit("-", 1)[1])


def leftovers(directory: str) -> list[str]:
  """Paths of what TensorFlow and we leave where a save is killed or fails."""
  if not tf.io.gfile.isdir(directory):
    return []
  return [
    os.path.join(directory, name.rstrip("/"))
    for name in sorted(tf.io.gfile.listdir(directory))
    if re.match(_LEFTOVER, name)
  ]


def remove_leftovers(directory: str) -> None:
  """Removes them."""
  for path in leftovers(directory):
    remove(path)


def remove(path: str) -> None:
  """Removes a file or a directory; one that has gone meanwhile is no fault."""
  with contextlib.suppress(tf.errors.NotFoundError):
    isdir = tf.io.gfile.isdir(path)
    (tf.io.gfile.rmtree if isdir else tf.io.gfile.remove)(path)


def is_committed(prefix: str) -> bool:
  """Whether a checkpoint was finished."""
  return tf.io.gfile.exists(prefix + _SUFFIX)


def revoke(prefix: str) -> None:
  """Removes the marker: the files behind it are about to change or to go."""
  if is_committed(prefix):
    tf.io.gfile.remove(prefix + _SUFFIX)


def delete(prefix: str) -> None:
  """Deletes a checkpoint, its marker first."""
  revoke(prefix)
  for path in _files(prefix):
    tf.io.gfile.remove(path)


def _files(prefix: str) -> list[str]:
  # Not by glob: a directory may be called run[1].
  directory, name = os.path.split(prefix)
  return sorted(
    os.path.join(directory, entry)
    for entry in tf.io.gfile.listdir(directory or ".")
    if entry == f"{name}.index" or entry.startswith(f"{name}.data-")
  )


def _facts(path: str) -> dict[str, Any]:
  return {"size": tf.io.gfile.stat(path).length, "sha256": sha256_of(path)}

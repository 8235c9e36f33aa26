"""The manifest of a checkpoint: what it holds, and the proof that it is whole.

It is written last: a checkpoint without a manifest was never finished. It names
each file with its size and SHA-256, so that damage is found before TensorFlow
reads it, a digest of itself, and all settings, if `config.yaml` is damaged.
"""

import dataclasses
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from engine.durability.own import remove
from engine.errors import Damaged, Missing, UserError, quoted
from engine.files import (
  is_file,
  is_link,
  json_digest,
  names_in,
  part_path,
  parts_of,
  sha256_of,
  write_json,
)
from engine.formats import NUMBER, misfit, read_json, reading, size_of
from engine.lines.cover import Cover

FORMAT = 3
SUFFIX = ".manifest.json"
_LIMIT = 2**24  # Bytes of a manifest.
_SHAPE = {
  "step": int,
  "time": NUMBER,
  "config": dict,
  "config_digest": str,
  "versions": {str: str},
  "metrics": {str: NUMBER},
  "files": {str: {"size": int, "sha256": str}},
  "format": int,
  "settings?": dict,
  "logs?": {str: {"lines": int, "step": int, "sha256": str}},
  "digest?": str,
}


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
    settings: what `config.yaml` holds; {} in formats before 2.
    logs: name -> `Cover` of each log of the run; {} in formats before 3.
    digest: of all else, SHA-256; "" in formats before 2.
    format: version of the manifest itself.
  """

  step: int
  time: float
  config: dict[str, Any]
  config_digest: str
  versions: dict[str, str]
  metrics: dict[str, float]
  files: dict[str, dict[str, Any]]
  settings: dict[str, Any] = dataclasses.field(default_factory=dict)
  logs: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
  digest: str = ""
  format: int = FORMAT


def write_manifest(
  prefix: str,
  *,
  step: int,
  config: Mapping[str, Any],
  versions: Mapping[str, str],
  metrics: Mapping[str, float] | None = None,
  settings: Mapping[str, Any] | None = None,
  logs: Mapping[str, Cover] | None = None,
) -> Manifest:
  """Commits the checkpoint whose files lie behind `prefix`.

  Args:
    prefix: of the files.
    step: the global step.
    config: dotted name -> value of each setting that identifies the run.
    versions: package -> version.
    metrics: of the evaluation that it is kept for, if it is.
    settings: what `config.yaml` holds.
    logs: name -> how much of each log of the run it has behind it.
  """
  known = json.loads(json.dumps(config, default=str))
  values = {
    "step": step,
    "time": time.time(),
    "config": known,
    "config_digest": json_digest(known),
    "versions": dict(versions),
    "metrics": dict(metrics or {}),
    "files": {
      os.path.basename(x): {"size": size_of(x), "sha256": sha256_of(x)}
      for x in _files(prefix)
    },
    "settings": json.loads(json.dumps(settings or {}, default=str)),
    "logs": _told(logs or {}),
    "format": FORMAT,
  }
  manifest = Manifest(**values, digest=json_digest(values))
  write_json(prefix + SUFFIX, dataclasses.asdict(manifest))
  return manifest


def note_logs(prefix: str, logs: Mapping[str, Cover]) -> None:
  """Notes in a committed checkpoint what the logs hold by now.

  Raises:
    Unreadable: where its manifest cannot be read.
    OSError, tf.errors.OpError: where it cannot be written.
  """
  values = dataclasses.asdict(read_manifest(prefix))
  noted = _told(logs)
  if values["logs"] != noted:
    del values["digest"]
    values |= {"logs": noted, "format": FORMAT}
    write_json(prefix + SUFFIX, {**values, "digest": json_digest(values)})


def read_manifest(prefix: str) -> Manifest:
  """Reads the manifest of a checkpoint; looks at no other file.

  Raises:
    Unreadable: where there is none, it cannot be read, or was altered.
    UserError: where a newer Apsis has written it.
  """
  path = prefix + SUFFIX
  try:
    values = read_json(path, {"format": int, "digest?": str}, _LIMIT)
  except Missing as error:
    raise Missing(path, "is missing: it was never finished") from error
  rest = {k: v for k, v in values.items() if k != "digest"}
  # All formats from 2 on have it: one that has not is no newer one.
  if rest != values or values["format"] != 1:
    if values.get("digest") != json_digest(rest):
      raise Damaged(path, "was altered: its own digest differs")
    if values["format"] > FORMAT:
      raise UserError(
        f"{path} has format {values['format']}, but this Apsis reads formats "
        f"up to {FORMAT}: use the Apsis that wrote it, or a newer one."
      )
  if wrong := misfit(values, _SHAPE):
    raise Damaged(path, f"is no manifest ({wrong})")
  if values["config_digest"] != json_digest(values["config"]):
    raise Damaged(path, "was altered: the digest of its config differs")
  name = os.path.basename(prefix)
  if values["step"] != step_of(prefix):
    raise Damaged(path, f"is of step {values['step']}")
  if f"{name}.index" not in values["files"]:
    raise Damaged(path, f"does not name {name}.index")
  if others := [x for x in values["files"] if not _belongs(x, name)]:
    raise Damaged(path, f"names {quoted(others[0])}, which is not its own")
  known = {x.name for x in dataclasses.fields(Manifest)}
  if others := [x for x in values if x not in known]:
    raise Damaged(path, f"has {quoted(others[0])}, which no manifest has")
  return Manifest(**values)


def verify(prefix: str, *, contents: bool = True) -> Manifest:
  """Holds the files of a checkpoint against its manifest.

  Args:
    prefix: of the files.
    contents: whether to read them, not only to look at their sizes.

  Raises:
    Unreadable: naming the first file that is missing, short or altered, or
      cannot be read now.
    UserError: where a newer Apsis has written it.
  """
  manifest = read_manifest(prefix)
  for name, facts in manifest.files.items():
    path = os.path.join(os.path.dirname(prefix), name)
    try:
      size = size_of(path)
    except Missing as error:
      raise Damaged(path, "is missing") from error
    if size != facts["size"]:
      raise Damaged(path, f"has {size} bytes instead of {facts['size']}")
    with reading(path):
      if contents and sha256_of(path) != facts["sha256"]:
        raise Damaged(path, "was altered: its SHA-256 differs")
  return manifest


def prefixes(directory: str) -> list[str]:
  """Prefixes of all checkpoints in a directory, finished or not, by step.

  Raises:
    CannotBeRead: where the directory cannot be listed now.
  """
  with reading(directory):
    entries = names_in(directory)
  names = {
    match[1]
    for name in entries
    if (match := _OWN.fullmatch(name)) or (match := _MARKER.fullmatch(name))
  }
  steps = sorted(int(name.split("-")[1]) for name in names)
  return [os.path.join(directory, f"ckpt-{step}") for step in steps]


def step_of(prefix: str) -> int:
  """Returns the step in the name of a checkpoint."""
  return int(prefix.rsplit("-", 1)[1])


def is_committed(prefix: str) -> bool:
  """Whether a checkpoint was finished."""
  directory, name = os.path.split(prefix)
  return name + SUFFIX in names_in(directory)


def revoke(prefix: str) -> None:
  """Removes the marker: the files behind it are about to change or to go.

  Raises:
    OSError: where a link is in the place of one of them, through which they
      would change what is not the run's.
    tf.errors.OpError: where the disk does not let it go.
  """
  for path in (*_files(prefix), prefix + SUFFIX, f"{prefix}_temp"):
    if is_link(path):
      raise OSError(f"{os.path.basename(path)} is a link")
  remove(prefix + SUFFIX)


def delete(prefix: str) -> bool:
  """Deletes a checkpoint, its marker first; links stay, with all behind them.

  If it is killed, what the marker has become says that all else is to go. It
  returns whether all of it has gone.

  Raises:
    OSError, tf.errors.OpError: where the disk does not let it go.
  """
  marker = prefix + SUFFIX
  if is_file(marker):
    tf.io.gfile.rename(marker, part_path(marker))
  if not remove(marker):
    return False
  left = [path for path in _files(prefix) if not remove(path)]
  for path in parts_of(prefix + SUFFIX):
    remove(path)
  return not left


def is_going(prefix: str) -> bool:
  """Whether who deleted a checkpoint, or wrote its marker, was killed."""
  return bool(parts_of(prefix + SUFFIX)) and not is_committed(prefix)


def size_on_disk(prefix: str) -> int:
  """Bytes of the files of a checkpoint, finished or not."""
  return sum(size_of(x) for x in _files(prefix, SUFFIX) if not is_link(x))


_OWN = re.compile(r"(ckpt-(?:0|[1-9]\d*))\.(index|data-\d{5}-of-\d{5})")
_MARKER = re.compile(r"(ckpt-(?:0|[1-9]\d*))\.manifest\.json")


def _belongs(file: str, name: str) -> bool:
  match = _OWN.fullmatch(file)
  return match is not None and match[1] == name


def _files(prefix: str, *more: str) -> list[str]:
  directory, name = os.path.split(prefix)
  return [
    os.path.join(directory, entry)
    for entry in names_in(directory)
    if _belongs(entry, name) or entry in [name + suffix for suffix in more]
  ]


def _told(logs: Mapping[str, Cover]) -> dict[str, dict[str, Any]]:
  return {name: cover._asdict() for name, cover in logs.items()}

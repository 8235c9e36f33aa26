"""The files of a run that say what it is and how it ended."""

import contextlib
import dataclasses
import glob
import hashlib
import os
from collections.abc import Collection
from typing import Any

import tensorflow as tf
import yaml

from engine.config import ExperimentConfig
from engine.durability import manifest, own
from engine.errors import Damaged, Missing, UserError
from engine.files import (
  DISK_ERRORS,
  is_folder,
  is_local,
  json_digest,
  reason_of,
  write_atomically,
  write_json,
)
from engine.formats import (
  NUMBER,
  read_bytes,
  read_json,
  read_yaml,
  tell_once,
)
from engine.settings import (
  check_no_pattern,
  differences,
  flatten,
  nested,
  told,
)

_CHANGED = "allowed_changes"  # A key of config.yaml, beside the settings.
_CONFIG = {
  f"{_CHANGED}?": [str],
  "task": dict,
  "train?": dict,
  "runtime?": {"threads?": int | None},
}
_RESULT = {
  "global_step": int,
  "eval": dict | None,
  "train": {"timed_steps": int},
  "ledger": {str: NUMBER},
  "checkpoints": {"stall_seconds_mean": NUMBER},
  "replicas": int,
  "precision": str,
  "command": str,
  "weights_sha256?": str,
  "digest?": str,
}
_NAMES = ("config.yaml", "result.json", "data.json", "assets.json")
_ROOM = 2**16  # Bytes that a start writes, at most, beside its logs.
_LIMIT = 2**20  # Bytes of a config.
_DIGEST = b"# SHA-256 of the above: "


class RunDirectory:
  """`config.yaml`, `result.json`, and the places of all else."""

  def __init__(self, path: str):
    check_no_pattern("model_dir", path)
    self.path = path
    self.checkpoints = os.path.join(path, "checkpoints")
    self.best = os.path.join(path, "best")
    self.assets = os.path.join(path, "assets")
    self.examples = os.path.join(path, "examples")

  def file(self, name: str) -> str:
    """Returns the path of a file of the run."""
    return os.path.join(self.path, name)

  def read_config(self) -> dict[str, Any] | None:
    """Returns the config of the run as nested dictionaries, if there is one."""
    values = self._kept_config()
    if values is not None:
      values.pop(_CHANGED, None)
    return values

  def _kept_config(self) -> dict[str, Any] | None:
    path = self.file("config.yaml")
    try:
      values = read_yaml(path, _CONFIG, _LIMIT)
      text, mark, digest = read_bytes(path, _LIMIT).rpartition(_DIGEST)
      if mark and digest.strip().decode() != _digest(text):
        raise Damaged(path, "was altered: its digest differs")
      return values
    except (Damaged, Missing) as error:
      for prefix in self.committed():
        # The next one, whatever is wrong with this one.
        with contextlib.suppress(UserError):
          found = manifest.read_manifest(prefix)
          what = f"{error.brief}: the settings that {prefix} holds are used."
          tell_once(path, what)
          return found.settings or nested(found.config)
      if isinstance(error, Missing):
        return None
      raise

  def committed(self) -> list[str]:
    """Prefixes of all finished checkpoints, the newest first."""
    return [
      prefix
      for folder in (self.checkpoints, self.best)
      for prefix in manifest.prefixes(folder)[::-1]
      if manifest.is_committed(prefix)
    ]

  def threads(self) -> int:
    """Returns how many an op of the first process had; 0: nobody fixed them."""
    runtime = (self.read_config() or {}).get("runtime") or {}
    return runtime.get("threads") or 0

  def changed(self) -> list[str]:
    """Returns the settings in which the run was allowed to change."""
    return (self._kept_config() or {}).get(_CHANGED, [])

  def check(
    self, config: ExperimentConfig, allowed: Collection[str] = ()
  ) -> list[str]:
    """Refuses a directory that holds another run.

    Args:
      config: of this run.
      allowed: settings that may differ, dotted or by their last part.

    Returns:
      The settings that differ and are allowed to.

    Raises:
      UserError: naming each one that differs and may not, or what is not as a
        run has it.
    """
    self.check_places()
    old = self.read_config()
    if old is None:
      return []
    old = flatten(old)
    if found := differences(old, config, allowed):
      raise UserError(
        f"`model_dir` {self.path} holds a run of another config "
        f"({told(found)}): use the old values or another --model_dir; "
        f"--allow_config_change={','.join(found)} goes on."
      )
    return list(differences(old, config))

  def prepare(self) -> None:
    """Makes the folders of a run, where there is room for what a start writes.

    Nothing is made or changed on a disk on which a start would end half-way.

    Raises:
      UserError: where it is full, or takes no file.
    """
    # A start writes the logs anew: a store has room for that, or nobody knows.
    logs = glob.glob("*.jsonl", root_dir=self.path)
    part = self.file(f".room.{os.getpid()}.0.part")
    try:
      size = _ROOM + sum(os.path.getsize(self.file(log)) for log in logs)
      try:
        with tf.io.gfile.GFile(part, "wb") as file:
          file.write(bytes(size))
      finally:
        own.remove(part)
      for path in (self.assets, self.checkpoints):
        tf.io.gfile.makedirs(path)
    except DISK_ERRORS as error:
      raise self.not_writable(error) from error

  def check_places(self) -> None:
    """Refuses what is in the place of a directory or a file of a run.

    Raises:
      UserError: naming it.
    """
    folders = (self.checkpoints, self.best, self.assets, self.examples)
    for path in (*folders, *map(self.file, _NAMES)):
      kind = "directory" if path in folders else "regular file"
      right = is_folder(path) if path in folders else os.path.isfile(path)
      if is_local(path) and os.path.lexists(path) and not right:
        raise UserError(
          f"{path} is no {kind} of its own, as a run writes one there: move it "
          "away, or choose another --model_dir."
        )

  def settings(
    self, config: ExperimentConfig, changed: Collection[str] = ()
  ) -> dict[str, Any]:
    """Returns what `config.yaml` holds of a config.

    Args:
      config: of the run.
      changed: settings in which it was allowed to change, beside earlier ones.
    """
    values = dataclasses.asdict(config)
    if changed := sorted({*self.changed(), *changed}):
      values[_CHANGED] = changed
    return values

  def create(
    self,
    config: ExperimentConfig,
    changed: Collection[str] = (),
  ) -> None:
    """Notes what the run is, from here on.

    Args:
      config: of the run.
      changed: settings in which it was allowed to change.

    Raises:
      UserError: where the directory cannot be written.
    """
    values = self.settings(config, changed)
    text = yaml.safe_dump(values, sort_keys=False).encode()
    text += _DIGEST + _digest(text).encode() + b"\n"
    try:
      tf.io.gfile.makedirs(self.path)
      write_atomically(self.file("config.yaml"), text)
    except DISK_ERRORS as error:
      raise self.not_writable(error) from error

  def not_writable(self, error: Exception) -> UserError:
    """Says why nothing can be written here."""
    return UserError(
      f"`model_dir` {self.path} cannot be written ({reason_of(error)}): make "
      "room there, change its permissions, or choose another --model_dir."
    )

  def result(self) -> dict[str, Any] | None:
    """Returns what the run reported in the end, if it has.

    A damaged one is none: the run makes it anew.

    Raises:
      CannotBeRead: where it is there, and cannot be read now.
    """
    path = self.file("result.json")
    try:
      result = read_json(path, _RESULT)
      # A run of an older version has none.
      digest = result.pop("digest", None)
      if digest not in (None, json_digest(result)):
        raise Damaged(path, "was altered: its own digest differs")
      return result
    except Missing:
      return None
    except Damaged as error:
      tell_once(path, f"{error.brief}: it counts as none.")
      return None

  def forget_result(self) -> None:
    """Removes the result of a run that goes on."""
    own.remove(self.file("result.json"))

  def take_stop_file(self) -> bool:
    """Removes the file that told the run to stop; returns whether none is left.

    What is no regular file stays.
    """
    with contextlib.suppress(*DISK_ERRORS):
      return own.remove(self.file("stop"))
    return False

  def write_result(self, result: dict[str, Any]) -> None:
    """Writes the result, whole or not at all."""
    sealed = {**result, "digest": json_digest(result)}
    write_json(self.file("result.json"), sealed)


def _digest(text: bytes) -> str:
  return hashlib.sha256(text).hexdigest()

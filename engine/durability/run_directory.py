"""The files of a run that say what it is and how it ended."""

import dataclasses
import os
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import yaml

from engine.config import ExperimentConfig
from engine.durability.manifest import remove, remove_leftovers
from engine.errors import UserError
from engine.files import (
  DISK_ERRORS,
  read_json,
  reason_of,
  write_atomically,
  write_json,
)
from engine.settings import differences, flatten, told

_CHANGED = "allowed_changes"  # A key of config.yaml, beside the settings.
_ROOM = 2**16  # Bytes that a start writes, at most, beside assets and logs.


class RunDirectory:
  """`config.yaml`, `data.json`, `result.json`, and the places of all else."""

  def __init__(self, path: str):
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
    if not tf.io.gfile.exists(path):
      return None
    with tf.io.gfile.GFile(path) as file:
      return yaml.safe_load(file)

  def with_threads(self, config: ExperimentConfig) -> ExperimentConfig:
    """Fixes the threads of a deterministic run: those of its first process.

    How an op is shared among threads decides in which order it adds.
    """
    runtime = config.runtime
    if not runtime.deterministic or runtime.threads:
      return config
    first = ((self.read_config() or {}).get("runtime") or {}).get("threads")
    own = int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    threads = first or own or len(os.sched_getaffinity(0))
    return dataclasses.replace(
      config, runtime=dataclasses.replace(runtime, threads=threads)
    )

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
      UserError: naming each one that differs and may not.
    """
    old = self.read_config()
    if old is None:
      return []
    old = flatten(old)
    if found := differences(old, config, allowed):
      raise UserError(
        f"`model_dir` {self.path} holds a run of another config "
        f"({told(found)}): use the old values or another --model_dir; "
        f"--allow_config_change={','.join(found)} goes on with what that makes "
        "of it."
      )
    return list(differences(old, config))

  def data(self) -> dict[str, Any]:
    """Returns what is known of the examples of each split: see `create`.

    Raises:
      UserError: where it cannot be read.
    """
    path = self.file("data.json")
    try:
      return read_json(path)["splits"]
    except tf.errors.NotFoundError:
      return {}
    except (tf.errors.OpError, ValueError, LookupError, TypeError) as error:
      raise UserError(
        f"{path} cannot be read: bring it back from a copy, or remove it to go "
        "on with the data as they are."
      ) from error

  def prepare(self) -> None:
    """Makes the folders of a run, where there is room for what a start writes.

    Nothing is made or changed on a disk on which a start would end half-way.

    Raises:
      UserError: where it is full, or takes no file.
    """
    logs = tf.io.gfile.glob(self.file("*.jsonl"))
    part = self.file("room.part")
    try:
      size = _ROOM + sum(tf.io.gfile.stat(log).length for log in logs)
      try:
        with tf.io.gfile.GFile(part, "wb") as file:
          file.write(bytes(size))
      finally:
        remove(part)
      for path in (self.assets, self.checkpoints):
        tf.io.gfile.makedirs(path)
    except DISK_ERRORS as error:
      raise self.not_writable(error) from error

  def create(
    self,
    config: ExperimentConfig,
    changed: Collection[str] = (),
    data: Mapping[str, Any] | None = None,
  ) -> None:
    """Notes what the run is, from here on.

    Args:
      config: of the run.
      changed: settings in which it was allowed to change.
      data: split -> what tells its examples from others; splits that are not
        named stay as they were noted.

    Raises:
      UserError: where the directory cannot be written.
    """
    values = dataclasses.asdict(config)
    if changed := sorted({*self.changed(), *changed}):
      values[_CHANGED] = changed
    text = yaml.safe_dump(values, sort_keys=False)
    splits = {**self.data(), **(data or {})}
    try:
      tf.io.gfile.makedirs(self.path)
      write_json(self.file("data.json"), {"splits": splits})
      write_atomically(self.file("config.yaml"), text)
    except DISK_ERRORS as error:
      raise self.not_writable(error) from error

  def not_writable(self, error: Exception) -> UserError:
    """Says why nothing can be written here."""
    return UserError(
      f"`model_dir` {self.path} cannot be written ({reason_of(error)}): make "
      "room there, change its permissions, or choose another --model_dir."
    )

  def clear(self) -> None:
    """Removes what killed writers of whole files left; hold the lock."""
    for path in (self.path, self.assets, self.examples):
      remove_leftovers(path)

  def result(self) -> dict[str, Any] | None:
    """Returns what the run reported in the end, if it has."""
    path = self.file("result.json")
    if not tf.io.gfile.exists(path):
      return None
    return read_json(path)

  def forget_result(self) -> None:
    """Removes the result of a run that goes on."""
    if tf.io.gfile.exists(self.file("result.json")):
      tf.io.gfile.remove(self.file("result.json"))

  def write_result(self, result: dict[str, Any]) -> None:
    """Writes the result, whole or not at all."""
    write_json(self.file("result.json"), result)

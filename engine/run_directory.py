"""The files of a run that say what it is and how it ended."""

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf
import yaml

from engine.config import ExperimentConfig, differences
from engine.errors import UserError
from engine.journal import write_atomically


class RunDirectory:
  """`config.yaml`, `result.json`, and the places of all else."""

  def __init__(self, path: str):
    self.path = path
    self.checkpoints = os.path.join(path, "checkpoints")
    self.assets = os.path.join(path, "assets")

  def file(self, name: str) -> str:
    """Returns the path of a file of the run."""
    return os.path.join(self.path, name)

  def read_config(self) -> dict[str, Any] | None:
    """Returns the config of the run as nested dictionaries, if there is one."""
    path = self.file("config.yaml")
    if not tf.io.gfile.exists(path):
      return None
    with tf.io.gfile.GFile(path) as file:
      return yaml.safe_load(file)

  def check(self, config: ExperimentConfig) -> None:
    """Refuses a directory that holds another run.

    Raises:
      UserError: naming each field that differs.
    """
    old = self.read_config()
    if old is None:
      return
    found = differences(old, config)
    if found:
      raise UserError(
        f"`model_dir` {self.path} holds a run of another config "
        f"({'; '.join(found)}): use the old values or another --model_dir."
      )

  def create(self, config: ExperimentConfig) -> None:
    """Creates the directory with its config, unless it is there.

    Raises:
      UserError: where the directory cannot be written.
    """
    text = yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)
    try:
      tf.io.gfile.makedirs(self.assets)
      write_atomically(self.file("config.yaml"), text)
    except (tf.errors.OpError, OSError) as error:
      raise UserError(
        f"`model_dir` {self.path} cannot be written ({error.__class__.__name__}"
        "): choose another --model_dir or change its permissions."
      ) from error

  def result(self) -> dict[str, Any] | None:
    """Returns what the run reported in the end, if it has."""
    path = self.file("result.json")
    if not tf.io.gfile.exists(path):
      return None
    with tf.io.gfile.GFile(path) as file:
      return json.load(file)

  def write_result(self, result: dict[str, Any]) -> None:
    """Writes the result, whole or not at all."""
    write_atomically(
      self.file("result.json"), json.dumps(result, indent=2) + "\n"
    )

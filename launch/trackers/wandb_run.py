"""A run in Weights & Biases: --action=launch.trackers.wandb_run:WandbRun.

Its own variables say where: WANDB_PROJECT, WANDB_ENTITY; WANDB_MODE=offline
needs no account, and writes to the run directory.
"""

import os
import zlib
from collections.abc import Mapping
from typing import Any

from engine.errors import UserError
from engine.task import Watcher
from launch.trackers.numbers import numbers_of


class WandbRun(Watcher):
  """Settings, log points and the result; a run that goes on keeps its id."""

  def __init__(self) -> None:
    try:
      import wandb
    except ImportError as error:
      raise UserError(
        f"Weights & Biases is not there ({error}): pip install wandb."
      ) from error
    self._wandb = wandb

  def begin(self, directory: str, config: Mapping[str, Any], step: int) -> None:
    place = os.path.abspath(directory)
    self._run = self._wandb.init(
      id=f"{os.path.basename(place)}-{zlib.crc32(place.encode()):08x}",
      name=os.path.basename(place),
      dir=directory,
      config=dict(config),
      resume="allow",
    )
    self._run.define_metric("*", step_metric="step")

  def log(self, kind: str, step: int, point: Mapping[str, Any]) -> None:
    numbers = numbers_of(point)
    told = {f"{kind}/{name}": value for name, value in numbers.items()}
    self._run.log({"step": step, **told})

  def end(self, result: Mapping[str, Any] | None) -> None:
    if result and result.get("eval"):
      self._run.summary.update(numbers_of(result["eval"]))
    self._run.finish(exit_code=0 if result else 75)

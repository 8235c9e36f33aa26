"""What looks at a run from outside is told, and does no harm."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from absl import logging

from engine.config import ExperimentConfig
from engine.errors import words_of
from engine.settings import leaves
from engine.task import Watcher


class Watching:
  """The watchers of a run.

  Attributes:
    failed: class of each that has raised -> what it said.
    committed: steps of checkpoints that they have not heard of; another thread
      adds to it.
  """

  def __init__(self, watchers: Iterable[Watcher] = ()):
    self._watchers = list(watchers)
    self.failed: dict[str, str] = {}
    self.committed: list[int] = []

  def begin(self, directory: str, config: ExperimentConfig, step: int) -> None:
    """As `Watcher.begin`, of a whole config."""
    flat = {name: value for name, value, _ in leaves(config)}
    self._tell("begin", directory, flat, step)

  def log(self, kind: str, step: int, point: Mapping[str, Any]) -> None:
    """As `Watcher.log`; first of the checkpoints that there are since."""
    self._catch_up()
    self._tell("log", kind, step, point)

  def end(self, result: dict[str, Any] | None) -> None:
    """As `Watcher.end`; adds to `lost` who fails even now."""
    self._catch_up()
    self._tell("end", result)
    if result:
      result["lost"] = {**result.get("lost", {}), **self.failed}

  def _catch_up(self) -> None:
    while self.committed:
      self._tell("saved", self.committed.pop(0))

  def _tell(self, event: str, *facts: Any) -> None:
    for watcher in [*self._watchers]:
      name = type(watcher).__name__
      try:
        getattr(watcher, event)(*copy.deepcopy(facts))
      except (Exception, SystemExit) as error:
        self._watchers.remove(watcher)
        self.failed[name] = (
          f"{event}: {type(error).__name__}: {words_of(error)}"
        )
        logging.warning(
          "The action %s has failed (%s) and hears no more; the run goes on.",
          name,
          self.failed[name],
        )

"""The actions that a command line names."""

import inspect
from collections.abc import Sequence

from engine.errors import UserError, quoted, words_of
from engine.task import Watcher
from launch.command.named import named


def build(paths: Sequence[str]) -> list[Watcher]:
  """Builds watchers.

  Args:
    paths: module:Class of each.

  Raises:
    UserError: where one is not there, or is none.
  """
  return [_build(path) for path in paths]


def _build(path: str) -> Watcher:
  found = named(path, "action")
  fault = f"`action` is {quoted(path)}, "
  if not (inspect.isclass(found) and issubclass(found, Watcher)):
    raise UserError(
      f"{fault}which is no action: name a subclass of engine.task.Watcher."
    )
  try:
    return found()
  except UserError:
    raise
  except (Exception, SystemExit) as error:
    raise UserError(
      f"{fault}which cannot be built without arguments ({words_of(error)})."
    ) from error

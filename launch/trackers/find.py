"""The actions that a command line names."""

import importlib
import inspect
from collections.abc import Sequence

from engine.errors import UserError, quoted, words_of
from engine.task import Watcher


def build(paths: Sequence[str]) -> list[Watcher]:
  """Builds watchers.

  Args:
    paths: module:Class of each.

  Raises:
    UserError: where one is not there, or is none.
  """
  return [_build(path) for path in paths]


def _build(path: str) -> Watcher:
  name, _, attribute = path.partition(":")
  fault = f"`action` is {quoted(path)}, "
  try:
    found = getattr(importlib.import_module(name), attribute, None)
  except Exception as error:
    raise UserError(
      f"{fault}but {name} cannot be imported ({words_of(error)}): name "
      "module:Class of one that can."
    ) from error
  if not (inspect.isclass(found) and issubclass(found, Watcher)):
    raise UserError(
      f"{fault}which is no action: name a subclass of engine.task.Watcher."
    )
  try:
    return found()
  except UserError:
    raise
  except Exception as error:
    raise UserError(
      f"{fault}which cannot be built without arguments ({words_of(error)})."
    ) from error

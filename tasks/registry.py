"""From the name of a task to its settings and its class.

The named data sets are sentence pairs; `module:Class` is a task of one's own.
Of the former nothing slow is imported before the task is built.
"""

import dataclasses
import difflib
import importlib
import importlib.machinery
import inspect
import os
import shlex
import sys
import sysconfig
import traceback
import typing
import zlib
from types import ModuleType
from typing import Any

import yaml

from engine.config import TaskConfig
from engine.errors import UserError, quoted
from engine.settings import check_import
from tasks.config import SentencePairConfig

if typing.TYPE_CHECKING:
  from engine.task import Task

_HERE = os.path.realpath(__file__)


def is_own(name: Any) -> bool:
  """Whether a name of a task is the path of a class."""
  return isinstance(name, str) and ":" in name


def check_trusted(name: Any, told: str, place: str) -> None:
  """Refuses to import code that a directory names and the user does not.

  Args:
    name: of a task, as the directory has it.
    told: of the task, as the user has it; "" if not.
    place: of the directory.

  Raises:
    UserError: where the code is neither this project's nor the user's word.
  """
  if told and name != told:
    raise UserError(
      f"`task` is {quoted(told)}, but {place} is a run of {quoted(name)}: name "
      "that, or another run."
    )
  if is_own(name) and not told and not _is_ours(name.partition(":")[0]):
    raise UserError(
      f"{place} is a run of the task {quoted(name)}, whose code would be "
      f"imported: if you trust it, add --task={shlex.quote(name)}"
    )


def _is_ours(module: str) -> bool:
  """Whether a module would come from this project; imports nothing."""
  package, root = module.split(".")[0], os.path.dirname(os.path.dirname(_HERE))
  if package not in ("engine", "tasks", "launch", "examples"):
    return False
  found = importlib.machinery.PathFinder.find_spec(package)
  places = (found and found.submodule_search_locations) or ()
  return any(os.path.realpath(x) == f"{root}/{package}" for x in places)


def config_class(name: Any) -> type[TaskConfig]:
  """Returns the class of the settings of a task.

  Raises:
    UserError: where the name is a path at which there is no task.
  """
  return _own_class(name).config_class if is_own(name) else SentencePairConfig


def task_class(name: Any) -> type["Task"]:
  """Returns the class of a task.

  Raises:
    UserError: where the name is a path at which there is no task.
  """
  if is_own(name):
    return _own_class(name)
  # Imported here: TensorFlow takes seconds.
  from tasks.sentence_pair import SentencePairTask

  return SentencePairTask


def build_task(config: TaskConfig) -> "Task":
  """Builds the task that a config names.

  Raises:
    UserError: where it cannot be built from the config.
  """
  return task_class(config.name)(config)


def require_pairs(config: TaskConfig, door: str) -> SentencePairConfig:
  """Returns the settings of a task of sentence pairs.

  Raises:
    UserError: where the task is another, which the door does not take.
  """
  if not isinstance(config, SentencePairConfig):
    raise UserError(
      f"`task` is {config.name!r}, a task of your own, but {door} is for "
      "sentence pairs: name a data set of pairs, or their run."
    )
  return config


def code_facts(name: str) -> dict[str, str]:
  """What workers must have in common beside versions: the code of the task."""
  if not is_own(name):
    return {}
  with open(inspect.getfile(_own_class(name)), "rb") as file:
    return {f"code of {name}": f"{zlib.crc32(file.read()):08x}"}


def _own_class(path: str) -> type["Task"]:
  """Returns the class at `module:Class`, once it is seen to be a task."""
  check_import("task", path)
  name, _, attribute = path.partition(":")
  module = _import(path, name)
  # Its own module has imported TensorFlow, if it holds a task.
  from engine.task import Task

  found = getattr(module, attribute, None)
  if found is None:
    here = [k for k, v in vars(module).items() if inspect.isclass(v)]
    near = difflib.get_close_matches(attribute, here, n=1, cutoff=0.3)
    hint = f": did you mean `{name}:{near[0]}`?" if near else "."
    raise UserError(
      f"`task` is {quoted(path)}, but {name} has no such class{hint}"
    )
  if not (inspect.isclass(found) and issubclass(found, Task)):
    raise UserError(
      f"`task` is {quoted(path)}, which is no task: make it a subclass of "
      "engine.task.Task."
    )
  if inspect.isabstract(found):
    lacking = ", ".join(sorted(found.__abstractmethods__))
    raise UserError(
      f"`task` is {quoted(path)}, which lacks {lacking}: define it."
    )
  config = _default_config(path, found.config_class)
  try:
    inspect.signature(found).bind(config)
  except TypeError as error:
    raise UserError(
      f"`task` is {quoted(path)}, which is built as {attribute}(config), but "
      f"takes other arguments ({error})."
    ) from error
  return found


def _default_config(path: str, found: Any) -> TaskConfig:
  """Returns the default settings, once they are seen to be settings."""
  place = f"the `config_class` of `task` {quoted(path)}"
  is_config = inspect.isclass(found) and issubclass(found, TaskConfig)
  # Without the decorator it inherits the fields of its base, and has no other.
  if not is_config or "__dataclass_fields__" not in vars(found):
    raise UserError(
      f"{place} is {found!r}, but must be a dataclass that inherits from "
      "engine.config.TaskConfig: @dataclasses.dataclass(frozen=True, "
      "kw_only=True)."
    )
  try:
    config = found(name=path)
    yaml.safe_dump(dataclasses.asdict(config))
  except TypeError as error:
    raise UserError(
      f"{place} cannot be built from nothing ({error}): give each setting a "
      "default."
    ) from error
  except yaml.YAMLError as error:
    raise UserError(
      f"{place} does not fit into config.yaml ({_line(error)}): settings are "
      "numbers, words, truths, and lists or dataclasses of these."
    ) from error
  return config


def _import(path: str, name: str) -> ModuleType:
  """Imports the module of a task; what fails there is told with its line."""
  if os.getcwd() not in sys.path and "" not in sys.path:
    sys.path.insert(0, os.getcwd())
  try:
    return importlib.import_module(name)
  except (Exception, SystemExit) as error:
    if (
      isinstance(error, ModuleNotFoundError)
      and error.name
      and (name == error.name or name.startswith(f"{error.name}."))
    ):
      raise UserError(
        f"`task` is {quoted(path)}, but there is no module {error.name}: start "
        "in the directory that holds it, or name that in PYTHONPATH."
      ) from error
    raise UserError(
      f"`task` is {quoted(path)}, but {name} cannot be imported: "
      f"{type(error).__name__}: {_line(error)}{_place(error)}"
    ) from error


def _place(error: BaseException) -> str:
  """Where it happened: the innermost line of code that the user has written."""
  if isinstance(error, SyntaxError) and error.filename:
    return f" ({error.filename}, line {error.lineno})"
  paths = sysconfig.get_paths()
  libraries = (paths["stdlib"], paths["purelib"], "<frozen", __file__)
  for frame in reversed(traceback.extract_tb(error.__traceback__)):
    if not frame.filename.startswith(libraries):
      return f" ({frame.filename}, line {frame.lineno}: {frame.line})"
  return ""


def _line(error: BaseException) -> str:
  text = error.msg if isinstance(error, SyntaxError) else str(error)
  return " ".join(text.split())

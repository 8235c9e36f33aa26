"""One typed config from layers: defaults, recipe, files, overrides, flags.

A later layer wins. Names that no config has are refused, with the nearest one
that it has. `dacite` builds and type-checks the dataclasses, YAML parses the
values.
"""

import copy
import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import dacite
import yaml

from engine.config import ExperimentConfig
from engine.errors import UserError
from engine.settings import flatten, leaves
from tasks import registry


def default_config(task: str = "") -> ExperimentConfig:
  """Returns the config of a run of a task for which nothing else is said."""
  config = registry.config_class(task)
  return ExperimentConfig(task=config(name=task) if task else config())


def build_config(layers: Iterable[Mapping[str, Any]]) -> ExperimentConfig:
  """Merges layers of nested settings over the defaults.

  Args:
    layers: the user's, the strongest last. Below them all lies the recipe of
      the task that they choose.

  Raises:
    UserError: where a name is unknown or a value has the wrong type.
  """
  layers = list(layers)
  default = default_config(_task_name(layers))
  for layer in layers:
    _check_names(layer, default)
  said = merge({}, *layers)
  recipe = from_dict({"task": said.get("task", {})}).task.recipe()
  _check_names(recipe, default)
  return from_dict(merge(dataclasses.asdict(default), recipe, said))


def from_dict(values: Mapping[str, Any]) -> ExperimentConfig:
  """Builds the config from nested dictionaries, as `config.yaml` holds them.

  Raises:
    UserError: where a name is unknown or a value has the wrong type.
  """
  default = default_config(_task_name([values]))
  _check_names(values, default)
  values = dict(values)
  strict = dacite.Config(
    strict=True, type_hooks={float: _to_float}, cast=[tuple]
  )
  try:
    task = dacite.from_dict(
      type(default.task), values.pop("task", {}), config=strict
    )
    config = dacite.from_dict(ExperimentConfig, values, config=strict)
  except dacite.DaciteError as error:
    raise UserError(f"Wrong type of a setting: {error}.") from error
  return dataclasses.replace(config, task=task)


def _task_name(layers: Iterable[Mapping[str, Any]]) -> str:
  """Returns the name of the task that the last layer to speak of it chooses."""
  tasks = [layer.get("task") for layer in layers]
  names = [task.get("name") for task in tasks if isinstance(task, Mapping)]
  return next((x for x in reversed(names) if isinstance(x, str)), "")


def _check_names(values: Mapping[str, Any], default: ExperimentConfig) -> None:
  """Raises `UserError` at the first name that is no setting of `default`."""
  known = [name for name, _, _ in leaves(default)]
  for name in flatten(values):
    if name not in known:
      near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.3)
      hint = f": did you mean `{near[0]}`?" if near else "."
      raise UserError(f"There is no setting `{name}`{hint}")


def _to_float(value: Any) -> Any:
  """An int is a float, and so is 1e-4, which YAML 1.1 takes for a string."""
  if isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  try:
    return float(value) if isinstance(value, str) else value
  except ValueError:
    return value


def merge(
  base: Mapping[str, Any], *layers: Mapping[str, Any]
) -> dict[str, Any]:
  """Merges nested dictionaries; the last one wins."""
  merged = copy.deepcopy(dict(base))
  for layer in layers:
    for name, value in layer.items():
      if isinstance(value, Mapping):
        below = merged.get(name)
        value = merge(below if isinstance(below, Mapping) else {}, value)
      merged[name] = value
  return merged


def nest(name: str, value: Any) -> dict[str, Any]:
  """Returns the nested dictionary with one dotted name."""
  for part in reversed(name.split(".")):
    value = {part: value}
  return value


def read_file(path: str) -> dict[str, Any]:
  """Reads a layer from a YAML file.

  Raises:
    UserError: where the file is missing or no mapping.
  """
  try:
    with open(path, encoding="utf-8") as file:
      return _mapping(yaml.safe_load(file) or {}, path)
  except (OSError, yaml.YAMLError) as error:
    reason = " ".join(str(error).split())
    raise UserError(
      f"`config_file` {path} cannot be read: {reason}."
    ) from error


def parse_overrides(text: str) -> dict[str, Any]:
  """Reads a layer from `a.b=1,c.d=x`, or from a YAML mapping.

  Raises:
    UserError: where it is neither.
  """
  if text.lstrip().startswith("{"):
    return _mapping(_parse(text, "`params_override`"), "`params_override`")
  layer: dict[str, Any] = {}
  for part in filter(None, text.split(",")):
    name, equals, value = part.partition("=")
    if not equals:
      raise UserError(
        f"`params_override` has {part!r}, but must be name=value,name=value."
      )
    layer = merge(layer, nest(name.strip(), _parse(value, f"`{name}`")))
  return layer


def _parse(text: str, place: str) -> Any:
  try:
    return yaml.safe_load(text)
  except yaml.YAMLError as error:
    reason = " ".join(str(error).split())
    raise UserError(f"{place} is no YAML: {reason}.") from error


def _mapping(values: Any, place: str) -> dict[str, Any]:
  if not isinstance(values, Mapping):
    raise UserError(f"{place} holds {values!r}, but must hold name: value.")
  return dict(values)

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

from engine.config import ExperimentConfig, flatten, leaves
from engine.errors import UserError
from tasks.config import SentencePairConfig


def default_config() -> ExperimentConfig:
  """Returns the config of a run for which nothing is said."""
  return ExperimentConfig(task=SentencePairConfig())


def build_config(layers: Iterable[Mapping[str, Any]]) -> ExperimentConfig:
  """Merges layers of nested settings over the defaults.

  Args:
    layers: the user's, the strongest last. Below them all lies the recipe of
      the encoder that they choose.

  Raises:
    UserError: where a name is unknown or a value has the wrong type.
  """
  layers = list(layers)
  for layer in layers:
    _check_names(layer)
  said = merge({}, *layers)
  recipe = from_dict({"task": said.get("task", {})}).task.recipe()
  return from_dict(merge(dataclasses.asdict(default_config()), recipe, *layers))


def from_dict(values: Mapping[str, Any]) -> ExperimentConfig:
  """Builds the config from nested dictionaries, as `config.yaml` holds them.

  Raises:
    UserError: where a name is unknown or a value has the wrong type.
  """
  _check_names(values)
  values = dict(values)
  strict = dacite.Config(strict=True, type_hooks={float: _to_float})
  try:
    task = dacite.from_dict(
      SentencePairConfig, values.pop("task", {}), config=strict
    )
    config = dacite.from_dict(ExperimentConfig, values, config=strict)
  except dacite.DaciteError as error:
    raise UserError(f"Wrong type of a setting: {error}.") from error
  return dataclasses.replace(config, task=task)


def _check_names(values: Mapping[str, Any]) -> None:
  """Raises `UserError` at the first name that is no setting."""
  known = [name for name, _, _ in leaves(default_config())]
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
        value = merge(merged.get(name) or {}, value)
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
    setting = nest(name.strip(), _parse(value, f"`{name}`"))
    _check_names(setting)
    layer = merge(layer, setting)
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

"""One typed config from layers: defaults, recipe, files, overrides, flags.

A later layer wins. Names that no config has are refused, with the nearest one
that it has. `dacite` builds and type-checks the dataclasses, YAML parses the
values.
"""

import copy
import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dacite

from engine import yaml_text
from engine.config import ExperimentConfig
from engine.errors import UserError, quoted
from engine.settings import check, fields_of, flatten, leaves
from launch.command.hints import meant
from tasks import registry
from tasks.config import FILES, HELD_OUT, SentencePairConfig

_DEEPEST = 32  # Dots in the name of a setting.


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
  default = default_config(task_name(layers))
  for layer in layers:
    _check_names(layer, default)
  said = merge({}, *layers)
  recipe = from_dict({"task": said.get("task", {})}).task.recipe()
  _check_names(recipe, default)
  return from_dict(merge(dataclasses.asdict(default), recipe, said))


def with_held_out(
  config: ExperimentConfig, layers: Iterable[Mapping[str, Any]]
) -> ExperimentConfig:
  """Holds a part of the training files out, where nothing else is evaluated.

  Args:
    config: of a run that evaluates.
    layers: the user's: one that speaks of it decides.
  """
  task = config.task
  said = merge({}, *layers).get("task") or {}
  if (
    "eval_fraction" in said
    or not isinstance(task, SentencePairConfig)
    or task.name != FILES
    or task.eval_file
    or not task.train_file
    or "dev" not in config.evaluation.splits
  ):
    return config
  task = dataclasses.replace(task, eval_fraction=HELD_OUT)
  return dataclasses.replace(config, task=task)


def from_dict(values: Mapping[str, Any]) -> ExperimentConfig:
  """Builds the config from nested dictionaries, as `config.yaml` holds them.

  Raises:
    UserError: where a name is unknown or a value has the wrong type.
  """
  default = default_config(task_name([values]))
  _check_names(values, default)
  _check_choices(values, default)
  values = dict(values)
  hooks: dict[Any, Callable[[Any], Any]] = {float: _to_float}
  for _, field, _ in fields_of(default):
    if typing.get_origin(field.type) is tuple:
      hooks[field.type] = _to_tuple
  strict = dacite.Config(strict=True, type_hooks=hooks)
  try:
    task = dacite.from_dict(
      type(default.task), values.pop("task", {}), config=strict
    )
    config = dacite.from_dict(ExperimentConfig, values, config=strict)
  except dacite.DaciteError as error:
    raise UserError(f"Wrong type of a setting: {error}.") from error
  return dataclasses.replace(config, task=task)


def task_name(layers: Iterable[Mapping[str, Any]]) -> str:
  """Returns the name of the task that the last layer to speak of it chooses."""
  tasks = [layer.get("task") for layer in layers]
  names = [task.get("name") for task in tasks if isinstance(task, Mapping)]
  return next((x for x in reversed(names) if isinstance(x, str)), "")


def _check_names(values: Mapping[str, Any], default: ExperimentConfig) -> None:
  """Raises `UserError` at the first name that is no setting of `default`."""
  known = [name for name, _, _ in leaves(default)]
  for name in flatten(values):
    if name not in known:
      near = meant(name, known)
      hint = f"did you mean `{near}`?" if near else "see --helpfull."
      shown = f"`{name}`" if len(name) < 60 else quoted(name)
      raise UserError(f"There is no setting {shown}: {hint}")


def _check_choices(
  values: Mapping[str, Any], default: ExperimentConfig
) -> None:
  """Raises `UserError` at the first value that is none of its choices."""
  given = flatten(values)
  for name, field, _ in fields_of(default):
    if typing.get_origin(field.type) is typing.Literal and name in given:
      *others, last = typing.get_args(field.type)
      check(
        given[name] in (*others, last),
        name,
        given[name],
        f"{', '.join(others)} or {last}",
      )


def _to_float(value: Any) -> Any:
  """An int is a float, and so is 1e-4, which YAML 1.1 takes for a string."""
  is_number = isinstance(value, int | str) and not isinstance(value, bool)
  try:
    return float(value) if is_number else value
  except (ValueError, OverflowError):
    return value


def _to_tuple(value: Any) -> Any:
  """A list is a tuple; a word is not one of its letters."""
  return tuple(value) if isinstance(value, list) else value


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


def read_file(path: str, flag: str = "config_file") -> dict[str, Any]:
  """Reads a layer from a YAML file.

  Args:
    path: of the file.
    flag: that names it.

  Raises:
    UserError: where the file is missing or no mapping.
  """
  try:
    with open(path, "rb") as file:
      values = yaml_text.parse(file.read(yaml_text.LONGEST + 1))
  except (OSError, ValueError) as error:
    raise UserError(
      f"`{flag}` {path} cannot be read "
      f"({getattr(error, 'strerror', None) or error}): name a file of YAML "
      "that holds name: value."
    ) from error
  return _mapping(values or {}, path)


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
        f"`params_override` has {quoted(part)}, but must be "
        "name=value,name=value."
      )
    if name.count(".") > _DEEPEST:
      raise UserError(f"There is no setting {quoted(name)}: see --helpfull.")
    layer = merge(layer, nest(name.strip(), _parse(value, f"`{name}`")))
  return layer


def _parse(text: str, place: str) -> Any:
  try:
    return yaml_text.parse(text)
  except ValueError as error:
    raise UserError(
      f"{place} is {quoted(text)}, which is no YAML ({error}): write a value, "
      "[a, b] for several, quotes around odd ones."
    ) from error


def _mapping(values: Any, place: str) -> dict[str, Any]:
  if not isinstance(values, Mapping):
    raise UserError(
      f"{place} holds {quoted(values)}, but must hold name: value."
    )
  return dict(values)

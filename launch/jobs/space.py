"""What a search may change: settings, and between which values.

optimizer.learning_rate: {low: 1e-5, high: 1e-3, log: true}
global_batch_size: [16, 32, 64]
dropout: {low: 0, high: 0.3, step: 0.1}

A name is that of a flag, a dotted one, or the last part of one.
"""

import dataclasses
import importlib.util
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from engine.config import ExperimentConfig
from engine.errors import UserError, quoted
from engine.settings import fields_of
from launch.command import configs
from launch.command.flags import settings
from launch.command.hints import meant

_OF_RANGE = {"low", "high", "log", "step"}
_MEANT = _OF_RANGE | {"min", "max"}  # As others call them.
_NOT = ("train.seed", "task.name")  # Noise, and another search.


@dataclasses.dataclass(frozen=True)
class Dimension:
  """One setting that is searched.

  Attributes:
    path: its dotted name.
    choices: its values; empty: a range.
    low: the least value.
    high: the greatest, itself included.
    log: whether its logarithm is drawn evenly.
    step: between two values; None: any.
    whole: whether values are whole numbers.
  """

  path: str
  choices: tuple[Any, ...] = ()
  low: float = 0.0
  high: float = 0.0
  log: bool = False
  step: float | None = None
  whole: bool = False

  @property
  def ends(self) -> tuple[Any, ...]:
    """Values such that all are allowed where these are."""
    return self.choices or (self.low, self.high)

  def facts(self) -> dict[str, Any]:
    """Returns what tells it from another, as JSON has it."""
    return {**dataclasses.asdict(self), "choices": list(self.choices)}


def check_library() -> None:
  """Raises `UserError` where Optuna is missing."""
  if importlib.util.find_spec("optuna") is None:
    raise UserError(
      "optuna, which chooses what is tried, is not there: pip install optuna."
    )


def read_space(
  values: Mapping[str, Any], default: ExperimentConfig, said: Sequence[str]
) -> list[Dimension]:
  """Reads a space.

  Args:
    values: name of a setting, or of its flag -> its choices, or its range.
    default: has all settings that there are.
    said: dotted names of settings that the command line has given.

  Raises:
    UserError: where a name or a value is none, or is given twice.
  """
  fields = {path: field for path, field, _ in fields_of(default)}
  found: dict[str, Dimension] = {}
  for name, value in _flat(values):
    path = _path(name, fields)
    if path in _NOT or path in found or path in said:
      why = "cannot be searched: leave it out"
      if path in found:
        why = "is in the space twice: name it once"
      if path in said:
        why = "is given by the command line too: leave it out there"
      raise UserError(f"`space` has `{path}`, which {why}.")
    found[path] = _dimension(path, value, fields[path])
  if not found:
    raise UserError(
      "`space` names no setting: write one a line, as learning_rate: {low: "
      "1e-5, high: 1e-3, log: true}."
    )
  return list(found.values())


def _flat(values: Mapping[str, Any], prefix: str = "") -> Any:
  """Yields names and what is said of them; parts may be nested."""
  for name, value in values.items():
    if isinstance(value, Mapping) and not _MEANT & {*map(str, value)}:
      yield from _flat(value, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}", value


def _path(name: str, fields: Mapping[str, Any]) -> str:
  if name in fields:
    return name
  if name in settings():
    return settings()[name].path
  known = [path for path in fields if path.rsplit(".", 1)[-1] == name]
  if len(known) == 1:
    return known[0]
  near = meant(name, [*fields])
  hint = f"did you mean `{near}`?" if near else "see docs/settings.md."
  raise UserError(f"`space` has {quoted(name)}, which is no setting: {hint}")


def _dimension(path: str, value: Any, field: dataclasses.Field) -> Dimension:
  if isinstance(value, list):
    return _choices(path, value)
  if not isinstance(value, Mapping):
    raise UserError(
      f"`space` has {path}: {quoted(value)}, but must have [a, b, ...] or "
      "{low: x, high: y} there."
    )
  return _range(path, value, field)


def _choices(path: str, values: Sequence[Any]) -> Dimension:
  plain = all(isinstance(x, bool | int | float | str) for x in values)
  if not plain or len(values) < 2 or len({*map(repr, values)}) < len(values):
    raise UserError(
      f"`space` has {path}: {quoted(values)}, but must have two choices or "
      "more, all different: numbers, words, true or false."
    )
  return Dimension(path, choices=tuple(values))


def _range(
  path: str, values: Mapping[str, Any], field: dataclasses.Field
) -> Dimension:
  whole = field.type is int
  fault = f"`space` has {path}: {quoted(dict(values))}, "
  if field.type not in (int, float) or typing.get_origin(field.type):
    raise UserError(f"{fault}but it is no number: write its choices [a, b].")
  others = {*values} - _OF_RANGE
  if others or not {"low", "high"} <= {*values}:
    raise UserError(f"{fault}but must have low and high, and may log or step.")
  low, high = (_number(values[x], whole) for x in ("low", "high"))
  step = values.get("step")
  step = None if step is None else _number(step, whole)
  log = values.get("log", False)
  if not isinstance(log, bool):
    raise UserError(f"{fault}but log must be true or false.")
  right = low is not None and high is not None and low < high
  if not right or (log and low <= 0):
    raise UserError(
      f"{fault}but low must be below high, both "
      f"{'whole ' * whole}numbers{', and above 0 for log: true' * bool(log)}."
    )
  if ("step" in values) and (log or step is None or not step > 0):
    raise UserError(f"{fault}but step must be above 0, and not beside log.")
  return Dimension(path, low=low, high=high, log=log, step=step, whole=whole)


def _number(value: Any, whole: bool) -> Any:
  """Returns a number; None for what is none. YAML takes 1e-4 for a word."""
  try:
    number = None if isinstance(value, bool) else float(value)
  except (TypeError, ValueError):
    return None
  if number is None or number - number != 0:
    return None
  if whole:
    return int(number) if number == int(number) else None
  return number


def check_space(
  space: Sequence[Dimension], layers: Sequence[Mapping[str, Any]]
) -> None:
  """Raises `UserError` where a value of the space is none that a run takes."""
  for dimension in space:
    for value in dimension.ends:
      configs.build_config([*layers, configs.nest(dimension.path, value)])


def layer_of(values: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the settings of a trial, nested."""
  return configs.merge({}, *(configs.nest(k, v) for k, v in values.items()))

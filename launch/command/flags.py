"""The flags of settings, as their fields say, and the config that they make."""

import dataclasses
import functools
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags

from engine.config import ExperimentConfig
from engine.errors import UserError
from engine.settings import Flag, fields_of
from launch.command import configs
from launch.command.hints import meant, so_called
from tasks import registry

# Parts of a config, in the order in which doors show their flags.
_PARTS = ("task", "runtime", "train", "optimizer", "evaluation", "checkpoint")


class Setting(typing.NamedTuple):
  """A setting that has a flag.

  Attributes:
    path: its dotted name.
    field: of its dataclass.
    flag: of the field.
    default: its value where nothing else is said.
  """

  path: str
  field: dataclasses.Field
  flag: Flag
  default: Any


@functools.cache
def settings() -> Mapping[str, Setting]:
  """Returns name of a flag -> its setting. The others: --params_override."""
  found = [
    Setting(path, field, flag, default)
    for path, field, default in fields_of(configs.build_config([]))
    if (flag := field.metadata.get("flag"))
  ]
  found.sort(key=lambda x: _PARTS.index(x.path.split(".")[0]))
  return {x.flag.name or x.field.name: x for x in found}


def in_group(group: str) -> tuple[str, ...]:
  """Returns the names of the flags of a group."""
  return tuple(k for k, x in settings().items() if x.flag.group == group)


def is_rare(name: str) -> bool:
  """Whether a flag is of a setting, and shown by --helpfull only."""
  return any(
    name in x.flag.aliases or (name == known and x.flag.rare)
    for known, x in settings().items()
  )


def meant_flag(name: str) -> str:
  """Returns what may be meant by a flag that the door has not; "" for nothing.

  A setting without a flag is given by --params_override, where the door has it.

  Args:
    name: without its dashes.
  """
  known = [*flags.FLAGS]
  if "params_override" not in known:
    return meant(name, known)
  every = [path for path, _, _ in fields_of(configs.build_config([]))]
  by_flag = {x.path: key for key, x in settings().items()}
  path = so_called(name, every)
  if not path:
    return meant(name, known)
  flag = by_flag.get(path, "")
  return flag if flag in known else f"params_override={path}=..."


def define_settings(
  names: Iterable[str] | None = None, *, layers: bool = True
) -> None:
  """Defines a flag for each named setting, or for all of them.

  Args:
    names: of the flags.
    layers: whether files and overrides may say more: where a whole config is
      made.
  """
  for name in settings() if names is None else names:
    _define(name, settings()[name])
  if not layers:
    return
  flags.DEFINE_multi_string("config_file", [], "YAML of settings; repeatable.")
  flags.DEFINE_string("params_override", "", _more_settings())


def _more_settings() -> str:
  """The sentence of --params_override, and the settings that have no flag."""
  lines = [
    f"{path}: {field.metadata['help']}"
    + (f" [{default}]" if default not in ("", (), None) else "")
    for path, field, default in fields_of(configs.build_config([]))
    if not field.metadata.get("flag") and "help" in field.metadata
  ]
  return "\n".join(
    ["More settings: a.b=1,c.d=x;  without a flag of their own:", *lines]
  )


def _define(name: str, setting: Setting) -> None:
  """Defines a flag of the type of its setting, with its sentence."""
  kind: Any = setting.field.type
  text = setting.field.metadata["help"]
  if setting.default not in ("", (), None):
    text += f" [{setting.default}]"
  if typing.get_origin(kind) is typing.Literal:
    flags.DEFINE_enum(name, None, typing.get_args(kind), text)
  else:
    define = {
      bool: flags.DEFINE_bool,
      bool | None: flags.DEFINE_bool,
      int: flags.DEFINE_integer,
      float: flags.DEFINE_float,
      str: flags.DEFINE_string,
      tuple[str, ...]: flags.DEFINE_list,
    }[kind]
    define(name, None, text)
  for alias in setting.flag.aliases:
    flags.DEFINE_alias(alias, name)


def define_trust() -> None:
  """Defines the flag by which a user trusts the code of a run's task."""
  flags.DEFINE_string(
    "task", "", "module:Class of the run's task, if it is your own."
  )


def config_from_flags(
  names: Iterable[str] | None = None,
  *,
  own_tasks: bool = False,
  evaluates: bool = False,
) -> ExperimentConfig:
  """Builds the config that the command line asks for.

  Args:
    names: the flags to read, by default all; those that are not defined say
      nothing.
    own_tasks: whether the door takes tasks that are no sentence pairs.
    evaluates: whether it asks for a run that evaluates.

  Raises:
    UserError: where it asks for what there is not.
  """
  layers = [*files_layers(), *said_layers(names)]
  config = configs.build_config(layers)
  if evaluates:
    config = configs.with_held_out(config, layers)
  if not own_tasks:
    registry.require_pairs(config.task, "this door")
  return config


def files_layers() -> list[dict[str, Any]]:
  """Returns what --config_file names, as layers."""
  return [configs.read_file(path) for path in flags.FLAGS.config_file]


def said_layers(names: Iterable[str] | None = None) -> list[dict[str, Any]]:
  """Returns what the command line says itself, as layers.

  Args:
    names: as `config_from_flags` takes it.
  """
  values = flags.FLAGS
  return [
    configs.parse_overrides(values.params_override),
    *(
      configs.nest(settings()[name].path, values[name].value)
      for name in (settings() if names is None else names)
      if name in values and values[name].value is not None
    ),
  ]


def require(name: str) -> str:
  """Returns a flag that must be given.

  Raises:
    UserError: where it is not.
  """
  value = flags.FLAGS[name].value
  if not value:
    raise UserError(f"`{name}` is not given: add --{name}=...")
  return value

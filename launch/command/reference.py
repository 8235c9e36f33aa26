"""The page of all settings, made from their dataclasses: `make settings`."""

import dataclasses
import math
import typing

from engine.settings import Range, fields_of
from launch.command import configs
from launch.command.flags import settings

_HEAD = """\
# Settings

All settings of a run on pairs of sentences, as `engine/config.py` and
`tasks/config.py` define them; made from these by `make settings`. Each is given
by its flag, or by its name: `--params_override=NAME=VALUE,...`, or a YAML file,
`--config_file=FILE`. Those marked * may differ when a run is resumed; the
others are what the run is. Names that other trainers have (`lr`, `batch_size`,
`max_length`, ...) are refused with the one that is meant here.
"""


def page() -> str:
  """Returns the page, in Markdown."""
  config = configs.default_config()
  flags = {x.path: name for name, x in settings().items()}
  lines = [_HEAD]
  part = ""
  for path, field, default in fields_of(config):
    if path.split(".")[0] != part:
      part = path.split(".")[0]
      sentence = (type(getattr(config, part)).__doc__ or "").splitlines()[0]
      lines += [f"\n## {part}\n", f"{sentence}\n"]
      lines += ["| name, flag | default | may be | |", "| --- " * 4 + "|"]
    free = " *" * field.metadata["free"]
    flag = f"<br>`--{flags[path]}`" if path in flags else ""
    cells = [f"`{path}`{free}{flag}", _shown(default), _allowed(field)]
    lines.append(f"| {' | '.join([*cells, field.metadata['help']])} |")
  return "\n".join(lines) + "\n"


def _shown(default: typing.Any) -> str:
  if isinstance(default, tuple):
    default = ",".join(default)
  return f"`{default}`" if default not in ("", None) else ""


def _allowed(field: dataclasses.Field) -> str:
  """Says which values a setting may have."""
  kind: typing.Any = field.type
  if typing.get_origin(kind) is typing.Literal:
    return ", ".join(f"`{x}`" for x in typing.get_args(kind))
  if kind in (bool, bool | None):
    return "`true`, `false`"
  if kind in (int, float):
    limits = field.metadata.get("range", Range())
    bounded = any(map(math.isfinite, dataclasses.astuple(limits)))
    noun = "whole number" if kind is int else "number"
    return f"{noun}, {limits.rule(0)}" if bounded else noun
  return "names, with commas" if typing.get_origin(kind) is tuple else "text"

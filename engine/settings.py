"""What a setting is, and how two configs compare. Standard library only.

A setting is a field of a frozen dataclass. It carries its one sentence of
help, the numbers that it may be, and the flag that doors have for it: to add a
setting is to write one field.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from engine.errors import UserError, quoted


@dataclasses.dataclass(frozen=True)
class Flag:
  """The flag of a setting.

  Attributes:
    name: of the flag, where it is not the field's.
    aliases: its other names.
    group: of settings that a door may take without the rest.
    rare: whether launchers and curious people set it: by --helpfull only.
  """

  name: str = ""
  aliases: tuple[str, ...] = ()
  group: str = ""
  rare: bool = False


SHOWN, RARE = Flag(), Flag(rare=True)
_MOST = 2**31
_SPLIT = re.compile(r"\w[\w.-]{0,63}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
  """The numbers that a setting may be: never NaN, never infinite.

  Whole ones are below 2**31: devices count no further.

  Attributes:
    min: the least of them, if there is one.
    above: what all are above.
    max: the largest of them.
    below: what all are below.
  """

  min: float = -math.inf
  above: float = -math.inf
  max: float = math.inf
  below: float = math.inf

  def holds(self, value: float) -> bool:
    """Whether `value` is one of them."""
    if isinstance(value, int) and abs(value) >= _MOST:
      return False
    return self.min <= value <= self.max and self.above < value < self.below

  def rule(self, value: float) -> str:
    """Says what `value` must be."""
    limits = {
      "at least": self.min,
      "above": self.above,
      "at most": self.max,
      "below": self.below,
    }
    words = [f"{word} {x}" for word, x in limits.items() if math.isfinite(x)]
    if isinstance(value, int) and math.isinf(self.max) and not words[1:]:
      words += ["below 2**31"] * (abs(value) >= _MOST)
    if words == [f"at least {self.min}"]:
      words = [f"{self.min} or more"]
    if len(words) < 2 and isinstance(value, float):
      words.append("finite")
    return " and ".join(words)


def setting(
  default: Any,
  sentence: str,
  flag: Flag | None = None,
  *,
  free: bool = False,
  **limits: float,
) -> Any:
  """A dataclass field, with all that is to be known of a setting.

  Args:
    default: its value where nothing else is said.
    sentence: its help, which doors show.
    flag: of the doors; without one --params_override alone sets it.
    free: whether it says where or how a run is computed, not what is learned:
      then it may differ when a run is resumed. The others identify the run.
    **limits: of a number: those of a `Range`.
  """
  facts = {"help": sentence, "flag": flag, "free": free}
  return dataclasses.field(
    default=default, metadata={**facts, "range": Range(**limits)}
  )


free = functools.partial(setting, free=True)


def check(condition: bool, name: str, value: Any, rule: str) -> None:
  """Raises `UserError` where the setting `name` breaks its `rule`."""
  if not condition:
    raise UserError(f"`{name}` is {quoted(value)}, but must be {rule}.")


def check_splits(flag: str, names: Iterable[str]) -> None:
  """Raises `UserError` where one cannot be the name of a split.

  Files of a run are called by such names.
  """
  for name in names:
    check(
      _SPLIT.fullmatch(name) is not None,
      flag,
      name,
      "names of splits, as train or dev_2, with commas between",
    )


def check_no_pattern(flag: str, path: str) -> None:
  """Raises `UserError` where TensorFlow takes a directory for a pattern.

  It would find no checkpoint there.
  """
  if found := re.search(r"[*?[\\]", path):
    raise UserError(
      f"`{flag}` {path} has {found[0]!r} in its name, which TensorFlow takes "
      "for a pattern: rename it, or name another."
    )


def check_import(flag: str, path: str) -> None:
  """Raises `UserError` where a text cannot name what is in a module."""
  module, _, name = path.partition(":")
  check(
    all(module.split(".")) and name.isidentifier(),
    flag,
    path,
    "a module and what is in it, as package.module:Name",
  )


class Settings:
  """A dataclass of settings, each number of which is in its range.

  One that checks more has a `__post_init__` that calls this one.
  """

  def __post_init__(self) -> None:
    for name, field, value in fields_of(self):
      if isinstance(value, bool):
        check(field.type is not int, name, value, "a number")
      elif isinstance(value, int | float):
        allowed = field.metadata.get("range", Range())
        check(allowed.holds(value), name, value, allowed.rule(value))
      for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str):
          check("\0" not in text, name, text, "without a zero byte")


def fields_of(
  config: Any, prefix: str = ""
) -> Iterator[tuple[str, dataclasses.Field, Any]]:
  """Yields (dotted name, field, value) of each setting, in order."""
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      yield from fields_of(value, f"{prefix}{field.name}.")
    else:
      yield f"{prefix}{field.name}", field, value


def leaves(config: Any) -> Iterator[tuple[str, Any, bool]]:
  """Yields (dotted name, value, free) of each setting, in order.

  Tuples are lists, as they come back from YAML and JSON.
  """
  for name, field, value in fields_of(config):
    value = list(value) if isinstance(value, tuple) else value
    yield name, value, field.metadata.get("free", False)


def identity(config: Any) -> dict[str, Any]:
  """Dotted name -> value of each setting that makes a run what it is."""
  return {name: value for name, value, free in leaves(config) if not free}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """Nested settings, as YAML holds them, by their dotted names."""
  flat: dict[str, Any] = {}
  for name, value in values.items():
    if isinstance(value, Mapping):
      flat.update(flatten(value, f"{prefix}{name}."))
    else:
      flat[f"{prefix}{name}"] = value
  return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
  """What `flatten` makes flat."""
  values: dict[str, Any] = {}
  for name, value in flat.items():
    *parents, last = name.split(".")
    inner = values
    for parent in parents:
      inner = inner.setdefault(parent, {})
    inner[last] = value
  return values


def differences(
  old: Mapping[str, Any], new: Any, allowed: Collection[str] = ()
) -> dict[str, str]:
  """What would make `new` another run than `old`.

  A setting that the old run does not know had its default there: it was made
  before there was one.

  Args:
    old: what identifies the old run, as `identity` gives it.
    new: a config.
    allowed: settings, dotted or by their last part, that may differ.

  Returns:
    Dotted name -> both values, for a message.
  """
  old = {**identity(_default(new)), **old}
  return {
    name: f"{old[name]!r} -> {value!r}"
    for name, value in identity(new).items()
    if old[name] != value and not {name, name.rsplit(".", 1)[-1]} & set(allowed)
  }


def _default(config: Any) -> Any:
  """Returns a config of the same classes where nothing is said."""
  parts = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
  return type(config)(
    **{k: _default(v) for k, v in parts.items() if dataclasses.is_dataclass(v)}
  )


def told(different: Mapping[str, str]) -> str:
  """Returns `name: old -> new; ...`."""
  return "; ".join(f"{name}: {both}" for name, both in different.items())

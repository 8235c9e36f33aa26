"""How two configs compare."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, bool]]:
  """Yields (dotted name, value, free) of each setting, in order.

  Tuples are lists, as they come back from YAML and JSON.
  """
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      yield from leaves(value, f"{prefix}{field.name}.")
    else:
      value = list(value) if isinstance(value, tuple) else value
      yield f"{prefix}{field.name}", value, field.metadata.get("free", False)


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

"""Every flag of the doors, and the config that they make."""

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags

from engine.config import ExperimentConfig
from engine.errors import UserError
from launch.command import configs
from tasks import registry

# Flag -> the setting that it sets. All other settings: --params_override.
SETTINGS = {
  "task": "task.name",
  "data_dir": "task.data_dir",
  "train_file": "task.train_file",
  "eval_file": "task.eval_file",
  "test_file": "task.test_file",
  "text_a": "task.text_a",
  "text_b": "task.text_b",
  "label": "task.label",
  "weight": "task.weight",
  "kind": "task.kind",
  "classes": "task.classes",
  "class_weights": "task.class_weights",
  "label_smoothing": "task.label_smoothing",
  "file_format": "task.file_format",
  "quoting": "task.quoting",
  "columns": "task.columns",
  "unlabelled": "task.unlabelled",
  "skip_bad_lines": "task.skip_bad_lines",
  "on_damaged_shard": "task.on_damaged_shard",
  "encoder": "task.encoder",
  "casing": "task.casing",
  "batching": "task.batching",
  "dropout": "task.dropout",
  "strategy": "runtime.strategy",
  "num_virtual_devices": "runtime.num_virtual_devices",
  "tpu": "runtime.tpu",
  "worker_hosts": "runtime.worker_hosts",
  "worker_index": "runtime.worker_index",
  "startup_timeout": "runtime.startup_timeout",
  "deterministic": "runtime.deterministic",
  "xla": "runtime.xla",
  "steps_per_loop": "runtime.steps_per_loop",
  "log_example_ids": "runtime.log_example_ids",
  "profile_steps": "runtime.profile_steps",
  "quiet": "runtime.quiet",
  "seed": "train.seed",
  "epochs": "train.epochs",
  "train_steps": "train.train_steps",
  "global_batch_size": "train.global_batch_size",
  "accumulate_steps": "train.accumulate_steps",
  "precision": "train.precision",
  "learning_rate": "optimizer.learning_rate",
  "eval_split": "evaluation.split",
  "eval_batch_size": "evaluation.eval_batch_size",
  "checkpoint_interval": "checkpoint.checkpoint_interval",
  "max_to_keep": "checkpoint.max_to_keep",
  "grace_seconds": "runtime.grace_seconds",
  "stop_file": "runtime.stop_file",
  "threads": "runtime.threads",
  "on_nonfinite": "train.on_nonfinite",
  "patience": "evaluation.patience",
  "checkpoint_minutes": "checkpoint.checkpoint_minutes",
  "keep_every_n_hours": "checkpoint.keep_every_n_hours",
  "best_metric": "checkpoint.best_metric",
  "best_to_keep": "checkpoint.best_to_keep",
  "async_checkpoint": "checkpoint.async_checkpoint",
}

# Which pairs, for doors that do not train.
DATA = (
  "task",
  "data_dir",
  "train_file",
  "eval_file",
  "test_file",
  "text_a",
  "text_b",
  "label",
  "weight",
  "kind",
  "classes",
  "file_format",
  "quoting",
  "columns",
  "unlabelled",
  "skip_bad_lines",
)

# Other names of a flag.
_ALIASES = {"train_files": "train_file", "eval_files": "eval_file"}

# What launchers or curious people set: by --helpfull only.
RARE = (
  "worker_hosts",
  "worker_index",
  "startup_timeout",
  "log_example_ids",
  "profile_steps",
  "grace_seconds",
  "stop_file",
  "threads",
  "on_nonfinite",
  "patience",
  "checkpoint_minutes",
  "keep_every_n_hours",
  "best_metric",
  "best_to_keep",
  "async_checkpoint",
  "allow_config_change",
  "test_file",
  "skip_bad_lines",
  "xla",
  "deterministic",
  "steps_per_loop",
  "accumulate_steps",
  "eval_split",
  "eval_batch_size",
  "max_to_keep",
  "weight",
  "classes",
  "class_weights",
  "label_smoothing",
  "file_format",
  "quoting",
  "columns",
  "unlabelled",
  "on_damaged_shard",
  "casing",
  *_ALIASES,
)


def define_settings(names: Sequence[str] = tuple(SETTINGS)) -> None:
  """Defines a flag for each named setting, of its type, with its sentence."""
  for name in names:
    field, kind, default = _setting(SETTINGS[name])
    text = field.metadata["help"]
    if default not in ("", ()):
      text += f" [{default}]"
    if typing.get_origin(kind) is typing.Literal:
      flags.DEFINE_enum(name, None, typing.get_args(kind), text)
    elif kind is bool:
      flags.DEFINE_bool(name, None, text)
    elif kind == tuple[str, ...]:
      flags.DEFINE_list(name, None, text)
    else:
      define = {
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
      }[kind]
      define(name, None, text)
  for alias, name in _ALIASES.items():
    if name in names:
      flags.DEFINE_alias(alias, name)
  flags.DEFINE_multi_string("config_file", [], "YAML of settings; repeatable.")
  flags.DEFINE_string("params_override", "", "More settings: a.b=1,c.d=x.")


def config_from_flags(
  names: Sequence[str] = tuple(SETTINGS), *, own_tasks: bool = False
) -> ExperimentConfig:
  """Builds the config that the command line asks for.

  Args:
    names: the flags to read; those that are not defined say nothing.
    own_tasks: whether the door takes tasks that are no sentence pairs.

  Raises:
    UserError: where it asks for what there is not.
  """
  values = flags.FLAGS
  layers = [configs.read_file(path) for path in values.config_file]
  layers.append(configs.parse_overrides(values.params_override))
  layers += [
    configs.nest(SETTINGS[flag], values[flag].value)
    for flag in names
    if flag in values and values[flag].value is not None
  ]
  config = configs.build_config(layers)
  if not own_tasks:
    registry.require_pairs(config.task, "this door")
  return config


def require(name: str) -> str:
  """Returns a flag that must be given.

  Raises:
    UserError: where it is not.
  """
  value = flags.FLAGS[name].value
  if not value:
    raise UserError(f"`{name}` is not given: add --{name}=...")
  return value


def _setting(path: str) -> tuple[dataclasses.Field, Any, Any]:
  """Returns field, type and default of a dotted setting."""
  *parents, name = path.split(".")
  config: Any = configs.build_config([])
  for parent in parents:
    config = getattr(config, parent)
  field = next(f for f in dataclasses.fields(config) if f.name == name)
  return field, typing.get_type_hints(type(config))[name], getattr(config, name)

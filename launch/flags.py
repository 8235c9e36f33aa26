"""Every flag of the doors, and the way in that they share."""

import contextlib
import dataclasses
import logging
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags
from absl import logging as absl_logging

from engine.config import ExperimentConfig
from engine.errors import PeerLost, Preempted, SaveFailed, UserError
from launch import configs
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
_RARE = (
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


def run_door(
  main: Callable[..., None],
  summary: str,
  *,
  takes_rest: bool = False,
  files: Sequence[str] = (),
) -> None:
  """Runs a door: a user's mistake becomes one line and exit status 2.

  Args:
    main: the door; called once the flags are parsed.
    summary: its one sentence, for --help.
    takes_rest: whether `main` takes a list, what stands behind `--`.
    files: names of the files that `main` takes, given without a flag; a last
      one that ends in `...` may stand for several.
  """

  def parse(argv):
    try:
      rest = flags.FLAGS(argv)[1:]
    except flags.Error as error:
      fail(str(error))
    many = files and files[-1].endswith("...") and len(rest) > len(files)
    if files and len(rest) != len(files) and not many:
      fail(f"{len(rest)} file(s) given, but it takes {' '.join(files)}.")
    if rest and not files and not (takes_rest and "--" in argv):
      fail(f"{rest[0]!r} is no flag: flags are written --name=value.")
    return [argv[0], *rest]

  def guarded(argv):
    # The lines of a run are its own; libraries speak up from warnings on.
    # TensorFlow's one frequent warning, of traces, is counted by the engine.
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
      main(*([argv[1:]] if takes_rest else argv[1:] if files else []))
    except UserError as error:
      fail(str(error))
    except (PeerLost, Preempted, SaveFailed) as error:
      fail(str(error), status=os.EX_TEMPFAIL)
    except FloatingPointError as error:
      fail(str(error), status=1)
    except KeyboardInterrupt:
      fail("interrupted.", status=130)
    except BrokenPipeError:
      sys.stderr.close()

  if any(argument in ("--help", "-h", "-help") for argument in sys.argv[1:]):
    try:
      print(help_screen(f"{' '.join(files)}: {summary}" if files else summary))
    except UserError as error:
      fail(str(error))
    return
  app.run(guarded, flags_parser=parse)


def fail(message: str, status: int = 2) -> typing.NoReturn:
  """Prints one line and ends the process at once.

  Python's usual end would let TensorFlow wait for the peers of a worker, and
  the peers for it.
  """
  line = " ".join(message.split())
  print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr)
  for stream in (sys.stderr, sys.stdout):
    with contextlib.suppress(OSError):
      stream.flush()
  os._exit(status)


def door_flags() -> list[flags.Flag]:
  """Returns the flags of this door, without those of libraries."""
  return [
    flag
    for module, found in flags.FLAGS.flags_by_module_dict().items()
    if module == sys.argv[0]
    or module.startswith("launch.")
    or module == __name__
    for flag in found
  ]


def help_screen(summary: str) -> str:
  """Returns the flags of this door, a line each, with their defaults."""
  lines = [summary, ""]
  for flag in door_flags():
    if flag.name in _RARE:
      continue
    text = re.split(r";\s\s", flag.help)[0]
    default = flag.default
    if isinstance(default, list):
      default = ",".join(default)
    if default not in (None, ""):
      text += f" [{default}]"
    lines.append(f"  --{flag.name:<20} {text}")
  lines.append(
    "  --helpfull             All flags: rarer ones, and libraries'."
  )
  named = [x for x in sys.argv if re.match("--?task=.*:", x)]
  if named:  # A task of one's own: its settings have no flags.
    task = configs.default_config(named[-1].split("=", 1)[1]).task
    lines += ["", "  Of the task, by --params_override=task.NAME=VALUE,...:"]
    for field in dataclasses.fields(task):
      text = f"{field.metadata.get('help', '')} [{getattr(task, field.name)}]"
      lines.append(f"    {field.name:<20} {text}")
  return "\n".join(lines)


def _setting(path: str) -> tuple[dataclasses.Field, Any, Any]:
  """Returns field, type and default of a dotted setting."""
  *parents, name = path.split(".")
  config: Any = configs.build_config([])
  for parent in parents:
    config = getattr(config, parent)
  field = next(f for f in dataclasses.fields(config) if f.name == name)
  return field, typing.get_type_hints(type(config))[name], getattr(config, name)

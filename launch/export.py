"""Writes a trained run for others to use: python -m launch.export --help."""

import os

from absl import flags

from engine.errors import UserError
from launch.command.checks import check_output, check_run
from launch.command.door import run_door
from launch.command.flags import define_trust, require
from launch.command.imports import slow_imports

FORMATS = ("saved_model", "hub", "huggingface", "tflite")

flags.DEFINE_string("model_dir", None, "Directory of the run; needed.")
flags.DEFINE_string("export_dir", None, "Directory to write; needed.")
flags.DEFINE_enum(
  "format",
  "saved_model",
  FORMATS,
  "saved_model and tflite classify; hub is the encoder; or huggingface.",
)
flags.DEFINE_enum(
  "checkpoint", "newest", ["newest", "best"], "Whose weights to take."
)
flags.DEFINE_bool(
  "calibrated", False, "Divide logits by the temperature of --calibrate."
)
define_trust()


def main() -> None:
  """Writes the directory, whole or not at all."""
  values = flags.FLAGS
  model_dir, target = require("model_dir"), require("export_dir").rstrip("/")
  if os.path.exists(target):
    raise UserError(
      f"`export_dir` {target} exists: name a new directory, or remove it."
    )
  if values.calibrated and values.format == "hub":
    raise UserError(
      "`calibrated` is given, but hub is the encoder alone, which has no "
      "logits: leave it out."
    )
  check_output("export_dir", target)
  check_run(model_dir, "model_dir")
  # Imported behind the checks: TensorFlow takes seconds.
  with slow_imports():
    from engine.files import is_local, sweep_parts
    from launch.trained.api import Model
    from launch.trained.restored import restore_run

  restored = restore_run(
    model_dir,
    best=values.checkpoint == "best",
    precision="float32",
    task_name=values.task,
    calibrated=values.calibrated,
  )
  for part in sweep_parts(target) if is_local(target) else []:
    print(f"removed what a killed export left: {part}")
  told = Model(restored).export(target, values.format)
  print(f"{values.format} of step {restored.step} in {target}: {told}")


if __name__ == "__main__":
  run_door(main, "Exports a trained run: pairs, or a task of your own.")

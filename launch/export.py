"""Writes a trained run for others to use: python -m launch.export --help."""

import os
import shutil
import tempfile

from absl import flags

from engine.errors import UserError
from launch.command.door import run_door
from launch.command.flags import require

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


def main() -> None:
  """Writes the directory, whole or not at all."""
  values = flags.FLAGS
  model_dir, target = require("model_dir"), require("export_dir").rstrip("/")
  if os.path.exists(target):
    raise UserError(
      f"`export_dir` {target} exists: name a new directory, or remove it."
    )
  parent = os.path.dirname(os.path.abspath(target))
  if not os.access(parent, os.W_OK):
    raise UserError(
      f"`export_dir` {target} cannot be written: its directory is missing or "
      "not yours to write."
    )
  # Imported behind the checks: TensorFlow takes seconds.
  from launch.trained.restored import restore_run

  restored = restore_run(
    model_dir, best=values.checkpoint == "best", precision="float32"
  )
  part = tempfile.mkdtemp(prefix=".export-", dir=parent)
  try:
    written = os.path.join(part, "export")
    told = restored.task.export(restored.model, values.format, written)
    os.chmod(written, 0o755)
    os.rename(written, target)
  finally:
    shutil.rmtree(part, ignore_errors=True)
  print(f"{values.format} of step {restored.step} in {target}: {told}")


if __name__ == "__main__":
  run_door(main, "Exports a trained run: pairs, or a task of your own.")

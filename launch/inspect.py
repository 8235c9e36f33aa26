"""Draws what goes into a run: python -m launch.inspect --help."""

from absl import flags

from engine.settings import check_splits
from launch.command.checks import make_directory
from launch.command.door import run_door
from launch.command.flags import (
  config_from_flags,
  define_settings,
  in_group,
  require,
)
from launch.command.imports import slow_imports
from tasks.config import DATA

SETTINGS = (
  *in_group(DATA),
  "encoder",
  "epochs",
  "train_steps",
  "global_batch_size",
  "learning_rate",
  "seed",
)
flags.DEFINE_string("out", None, "Directory of the pictures; needed.")
flags.DEFINE_string("split", "train", "Split to look at.")
define_settings(SETTINGS)


def main() -> None:
  """Writes five PNG files, and prints what a run will be given."""
  config = config_from_flags(SETTINGS, evaluates=True)
  out, split = require("out"), flags.FLAGS.split
  check_splits("split", [split])
  make_directory("out", out)
  # Imported behind the checks: TensorFlow takes seconds.
  with slow_imports():
    from launch.pages.views import views

  for name, told in views(config, split, out):
    print(f"{name:<9} {told}", flush=True)


if __name__ == "__main__":
  run_door(main, "Draws data, schedule, model and packing of a run.")

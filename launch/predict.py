"""Predicts with a trained run: python -m launch.predict --help."""

import os

from absl import flags

from engine.errors import UserError
from engine.settings import check_splits
from launch.command.checks import check_output, check_run, check_text_name
from launch.command.door import run_door
from launch.command.flags import define_settings, define_trust, require
from launch.command.imports import slow_imports

flags.DEFINE_multi_string(
  "model_dir", None, "Directory of the run; needed; several: their mean."
)
flags.DEFINE_bool("symmetric", False, "Mean of both orders of each pair.")
flags.DEFINE_bool(
  "calibrated", False, "Divide logits by the temperature of --calibrate."
)
flags.DEFINE_string(
  "input", "-", "TSV, CSV or JSON lines, packed or not; globs; -: stdin."
)
flags.DEFINE_string(
  "output", "-", "Where predictions go: x.csv, x.tsv, x.jsonl; -: stdout."
)
flags.DEFINE_list(
  "split", [], "Predict splits of its data, as their leaderboard wants."
)
define_trust()
# Where the data of splits is, if it is elsewhere; a file alone names its split.
_SPLITS = {"eval_file": "dev", "test_file": "test"}
_PLACES = ("data_dir", "train_file", *_SPLITS)
_READING = ("columns", "file_format", "quoting", "skip_bad_lines")
_ROLES = ("text_a", "text_b")
define_settings((*_PLACES, *_READING, *_ROLES), layers=False)
flags.DEFINE_enum(
  "checkpoint", "newest", ["newest", "best"], "Whose weights to take."
)
flags.DEFINE_integer(
  "batch_size", 32, "Examples in a step.", lower_bound=1, upper_bound=4096
)


def main() -> None:
  """Predicts lines, or splits of the run's data: a line for each row."""
  model_dirs, values = require("model_dir"), flags.FLAGS
  output, splits = values.output, values.split
  for model_dir in model_dirs:
    check_run(model_dir, "model_dir")
  check_splits("split", splits)
  moved = {x: values[x].value for x in _PLACES if values[x].present}
  if moved.get("eval_file"):
    moved["eval_fraction"] = 0.0  # It is dev, not what was held out.
  if output != "-":
    check_output("output", output, directory=bool(splits or moved))
  check_text_name("output", output)
  named = {x: values[x].value for x in _ROLES if values[x].present}
  for flag in ("input", *named):
    if (splits or moved) and values[flag].present:
      raise UserError(f"`{flag}` is given beside a split: name one of them.")
  # Imported behind the checks: TensorFlow takes seconds.
  with slow_imports():
    from launch.trained.ensemble import join
    from launch.trained.files import predict_file, write_lines
    from launch.trained.inputs import open_input
    from launch.trained.predictions import predict_split
    from launch.trained.restored import restore_run

  # Before somebody types lines for nothing.
  best = values.checkpoint == "best"
  told = {x: values[x].value for x in _READING if values[x].present}
  runs = [
    restore_run(
      model_dir,
      best=best,
      moved={**moved, **told},
      task_name=values.task,
      calibrated=values.calibrated,
    )
    for model_dir in model_dirs
  ]
  restored = join(runs, symmetric=values.symmetric)
  if not (splits or moved):
    task = restored.task
    given = open_input(
      values.input,
      restored.rows,
      task.noun,
      named,
      is_headless=bool(told.get("columns")),
    )
    predict_file(restored, given, output, values.batch_size)
    return
  wanted = restored.task.submissions
  splits = splits or [_SPLITS[x] for x in _SPLITS if moved.get(x)] or [*wanted]
  is_folder = os.path.isdir(output)
  if len(splits) > 1 and not is_folder:
    raise UserError(
      f"`output` {output} must be a directory for the files of {splits}: make "
      "it, or name one that is there."
    )
  paths = {
    split: os.path.join(output, wanted.get(split, f"{split}.tsv"))
    if is_folder
    else output
    for split in splits
  }
  for path in {*paths.values()} - {"-"}:
    check_output("output", path)
    if os.path.isfile(path):
      raise UserError(f"`output` {path} exists: remove it, or name another.")
  for split, path in paths.items():
    write_lines(path, predict_split(restored, split, values.batch_size))


if __name__ == "__main__":
  run_door(main, "Predicts with a trained run: pairs, or a task of your own.")

"""Labels pairs with a trained run: python -m launch.predict --help."""

import dataclasses
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from absl import flags

from engine.errors import UserError
from launch.command.checks import check_output, check_run
from launch.command.door import run_door
from launch.command.flags import define_settings, require

flags.DEFINE_string("model_dir", None, "Directory of the run; needed.")
flags.DEFINE_string("input", "-", "TSV or JSON lines of pairs; -: stdin.")
flags.DEFINE_string("output", "-", "Where the labels go; -: stdout.")
flags.DEFINE_list(
  "split", [], "Label splits of the run's data, as their leaderboard wants."
)
_PLACES = ("data_dir", "test_file")  # Of the data, if it is elsewhere.
define_settings(_PLACES)
flags.DEFINE_enum(
  "checkpoint", "newest", ["newest", "best"], "Whose weights to take."
)
flags.DEFINE_integer(
  "batch_size", 32, "Pairs in a step.", lower_bound=1, upper_bound=4096
)


def main() -> None:
  """Labels the pairs; one line each, in their order."""
  model_dir, values = require("model_dir"), flags.FLAGS
  check_run(model_dir, "model_dir")
  if values.output != "-":
    check_output("output", values.output, directory=True)
  # Imported behind the checks: TensorFlow takes seconds.
  from launch.trained.predictions import predict
  from launch.trained.restored import config_of
  from tasks.data.pairs import Pairs, decode, parse_pair, read_lines

  # Before somebody types pairs for nothing.
  config = config_of(model_dir).task
  single = not config.text_b
  moved = {x: values[x].value for x in _PLACES if values[x].present}
  if values.split or moved:
    if values["input"].present:
      raise UserError("`input` is given beside a split: name one of them.")
    _predict_splits(model_dir, dataclasses.replace(config, **moved))
    return
  if values.input == "-":
    lines = (
      (f"standard input, line {n}", decode(raw, f"standard input, line {n}"))
      for n, raw in enumerate(sys.stdin.buffer, 1)
    )
  else:
    lines = read_lines(values.input)
  pairs, is_json = [], []
  for place, line in lines:
    pairs.append(parse_pair(line, place, single=single))
    is_json.append(line.lstrip().startswith("{"))
  if not pairs:
    raise UserError(f"`input` {values.input} has no pair.")
  texts_a, *rest = zip(*pairs, strict=True)
  unlabelled = Pairs(texts_a, *rest or [None], None, range(len(pairs)))
  classes, shares = predict(
    model_dir,
    unlabelled,
    values.batch_size,
    best=values.checkpoint == "best",
  )
  text = "".join(
    f"{format_line(pair, classes, share, as_json)}\n"
    for pair, share, as_json in zip(pairs, shares, is_json, strict=True)
  )
  _write(values.output, text)


def _predict_splits(model_dir: str, config: Any) -> None:
  """Labels splits of the data in the form that a leaderboard wants."""
  from launch.trained import submission
  from launch.trained.predictions import predict_split

  values = flags.FLAGS
  splits = values.split or submission.splits_of(config)
  if values.test_file and not values.split:
    splits = ["test"]
  if len(splits) > 1 and not os.path.isdir(values.output):
    raise UserError(
      f"`output` {values.output} must be a directory for the files of {splits}."
    )
  for split in splits:
    pairs, classes, outputs = predict_split(
      model_dir,
      config,
      split,
      values.batch_size,
      best=values.checkpoint == "best",
    )
    lines = submission.lines_of(
      config, split, ids=pairs.ids, classes=classes, outputs=outputs
    )
    output = values.output
    if os.path.isdir(output):
      output = os.path.join(output, submission.name_of(config, split))
    _write(output, "".join(f"{line}\n" for line in lines))


def _write(output: str, text: str) -> None:
  from engine.files import write_atomically

  if output == "-":
    sys.stdout.write(text)
  else:
    write_atomically(output, text)


def format_line(
  texts: tuple[str, ...],
  classes: list[str],
  shares: Iterable[float],
  as_json: bool,
) -> str:
  """Returns `label, class=probability ..., texts`, or the same as JSON.

  Without classes it is `score, texts`.
  """
  named = dict(zip(("text_a", "text_b"), texts, strict=False))
  if not classes:
    (score,) = map(float, shares)
    if as_json:
      return json.dumps({"score": score, **named})
    return "\t".join([f"{score:.4f}", *texts])
  table = dict(zip(classes, map(float, shares), strict=True))
  label = max(table, key=table.get)
  if as_json:
    return json.dumps({"label": label, "probabilities": table, **named})
  columns = [f"{name}={share:.4f}" for name, share in table.items()]
  return "\t".join([label, *columns, *texts])


if __name__ == "__main__":
  run_door(main, "Labels sentence pairs with a trained run.")

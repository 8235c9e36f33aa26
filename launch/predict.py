"""Labels pairs with a trained run: python -m launch.predict --help."""

import json
import os
import sys
from collections.abc import Iterable

from absl import flags

from engine.errors import UserError
from launch.flags import require, run_door

flags.DEFINE_string("model_dir", None, "Directory of the run; needed.")
flags.DEFINE_string("input", "-", "TSV or JSON lines of pairs; -: stdin.")
flags.DEFINE_string("output", "-", "Where the labels go; -: stdout.")
flags.DEFINE_enum(
  "checkpoint", "newest", ["newest", "best"], "Whose weights to take."
)
flags.DEFINE_integer(
  "batch_size", 32, "Pairs in a step.", lower_bound=1, upper_bound=4096
)


def main() -> None:
  """Labels the pairs; one line each, in their order."""
  model_dir, values = require("model_dir"), flags.FLAGS
  # Imported behind the checks: TensorFlow takes seconds.
  from engine.journal import write_atomically
  from launch.predictions import predict
  from launch.restored import config_of
  from tasks.pairs import Pairs, decode, parse_pair, read_lines

  config_of(model_dir)  # Before somebody types pairs for nothing.
  folder = os.path.dirname(os.path.abspath(values.output))
  if values.output != "-" and not os.access(folder, os.W_OK):
    raise UserError(
      f"`output` {values.output} cannot be written: its directory is missing "
      "or not yours to write."
    )
  if values.input == "-":
    lines = (
      (f"standard input, line {n}", decode(raw, f"standard input, line {n}"))
      for n, raw in enumerate(sys.stdin.buffer, 1)
    )
  else:
    lines = read_lines(values.input)
  pairs, is_json = [], []
  for place, line in lines:
    pairs.append(parse_pair(line, place))
    is_json.append(line.lstrip().startswith("{"))
  if not pairs:
    raise UserError(f"`input` {values.input} has no pair.")
  texts_a, texts_b = zip(*pairs, strict=True)
  unlabelled = Pairs(texts_a, texts_b, None, range(len(pairs)))
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
  if values.output == "-":
    sys.stdout.write(text)
  else:
    write_atomically(values.output, text)


def format_line(
  pair: tuple[str, str],
  classes: list[str],
  shares: Iterable[float],
  as_json: bool,
) -> str:
  """Returns `label, class=probability ..., texts`, or the same as JSON."""
  table = dict(zip(classes, map(float, shares), strict=True))
  label = max(table, key=table.get)
  if as_json:
    return json.dumps(
      {
        "label": label,
        "probabilities": table,
        "text_a": pair[0],
        "text_b": pair[1],
      }
    )
  columns = [f"{name}={share:.4f}" for name, share in table.items()]
  return "\t".join([label, *columns, *pair])


if __name__ == "__main__":
  run_door(main, "Labels sentence pairs with a trained run.")

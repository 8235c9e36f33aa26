"""Encodes sentence pairs into tokens: python -m launch.encode --help."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from engine.errors import UserError
from engine.settings import check_splits
from launch.command.checks import check_directory
from launch.command.door import run_door
from launch.command.flags import (
  config_from_flags,
  define_settings,
  in_group,
  require,
)
from launch.command.imports import slow_imports
from tasks import registry
from tasks.config import DATA

# Pairs in a shard by default: each of a store is two open files in training.
_SIZES = {"tfrecord": 2**14, "arrays": 2**20}
# Pairs from which one more process pays: it starts for as long as 50,000 take.
_PAYS = 100_000

flags.DEFINE_string("output_dir", None, "Directory of the files; needed.")
flags.DEFINE_list("splits", ["train", "dev"], "Splits to encode.")
flags.DEFINE_enum(
  "format",
  "tfrecord",
  [*_SIZES],
  "What is written: TFRecord files, or a store that training maps into memory.",
)
flags.DEFINE_integer(
  "shard_size",
  None,
  "Pairs in a file: what a kill loses; by default "
  + ", ".join(f"{size} of {form}" for form, size in _SIZES.items())
  + ".",
  lower_bound=1,
)
flags.DEFINE_integer(
  "workers",
  None,
  "Processes that encode; by default one a core, and fewer for few pairs.",
  lower_bound=1,
  upper_bound=4096,
)
flags.DEFINE_bool(
  "beam", False, "Run on Apache Beam; its own options stand behind `--`."
)
define_settings((*in_group(DATA), "encoder", "casing", "max_seq_length"))


def main(rest: Sequence[str]) -> None:
  """Encodes what is not encoded yet; a kill leaves whole files only."""
  values = flags.FLAGS
  task = config_from_flags(own_tasks=True).task
  config = registry.require_pairs(task, "this door")
  directory = require("output_dir")
  check_directory(directory, "output_dir", "a directory of files")
  check_splits("splits", values.splits)
  if rest and not values.beam:
    raise UserError(
      f"{' '.join(rest)} stands behind `--`, where Beam's options are: add "
      "--beam."
    )
  # Imported behind the checks: TensorFlow takes seconds.
  with slow_imports():
    from launch.jobs import encoding
    from tasks.tokens import shards

  if values.beam:
    encoding.check_beam()
  plan = encoding.Plan.make(
    config,
    values.splits,
    size=values.shard_size or _SIZES[values.format],
    directory=directory,
    form=values.format,
  )
  plan.claim(directory)
  todo = [shard for shard in plan.shards if not shards.is_written(shard)]
  pairs = sum(shard.count for shard in plan.shards)
  print(f"{pairs:,} pairs in {len(plan.shards)} files", end="")
  print(f", {len(plan.shards) - len(todo)} of them there", flush=True)
  left = sum(shard.count for shard in todo)
  workers = values.workers or min(os.cpu_count() or 1, 1 + left // _PAYS)
  if values.beam:
    done = encoding.run_on_beam(todo, rest, workers=workers)
  else:
    done = encoding.run(todo, workers=workers)
  show(done, todo)
  plan.finish(directory)
  named = {"train": "train_file", "dev": "eval_file"}
  files = [
    f"--{named[split]}='{directory}/{split}-*'"
    for split in values.splits
    if split in named
  ]
  if files:
    print(f"train from them: python -m launch.train {' '.join(files)} ...")


def show(done: Iterator[Any], todo: Sequence[Any]) -> None:
  """Shows how far it is: one live line in a terminal, else some lines."""
  total = sum(shard.count for shard in todo)
  live, since, pairs, told = sys.stdout.isatty(), time.monotonic(), 0, 0
  for files, shard in enumerate(done, 1):
    pairs += shard.count
    rate = pairs / (time.monotonic() - since)
    line = (
      f"{files}/{len(todo)} files  {pairs:,} pairs  {rate:,.0f} pairs/s  "
      f"{(total - pairs) / rate:.0f} s left"
    )
    if live:
      print(f"\r{line:<78}", end="", flush=True)
    elif pairs - told >= total / 10 or pairs == total:
      told = pairs
      print(line, flush=True)
  if live and todo:
    print()


if __name__ == "__main__":
  run_door(
    main,
    "Encodes sentence pairs into TFRecord files or a store.",
    takes_rest=True,
  )

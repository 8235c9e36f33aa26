"""Whether the input keeps up with training: python -m benchmarks.input --help.

Two parts: pairs/s of tokenising a split with a fresh tokenizer, which a run
does once; and examples/s of laying out, building and handing over batches
(`PairSource.layout`, `PairSource.batch`, `Inputs.fetch`), which it does in each
step, in the groups in which the trainer asks for them. Both are held against
the examples/s that training consumes.

With --store_pairs, something else: what a store of so many synthetic pairs
costs to open and to read. It takes 122 bytes a pair, in a temporary directory.

With --scale, something else: CPU time of what one worker of N computes for a
step, from 32 pairs on one replica to 32,768 on 1,024, without the others; what
orders of 10^9 and 10^12 examples cost; and, predicted, the steps of
accelerators that such input would feed.
"""

import time
from collections.abc import Callable
from typing import Any

from absl import flags

from benchmarks.harness import cells
from benchmarks.harness.record import read_record, row, write_record
from engine.errors import UserError
from launch.command.door import run_door
from launch.command.flags import config_from_flags, define_settings

BATCHINGS = ["pad", "bucket", "pack"]
SETTINGS = ("task", "data_dir", "encoder", "precision", "global_batch_size")
_SYNTHETIC = 200_000  # Pairs of --scale.
_STEPS = 10  # That it times in each of its repeats.
define_settings(SETTINGS)
flags.DEFINE_list("batching", BATCHINGS, "Ways to measure.")
flags.DEFINE_float(
  "train_examples_per_second", None, "What training consumes.", lower_bound=1e-9
)
flags.DEFINE_string(
  "throughput", None, "Or: a record whose fastest row of the encoder says so."
)
flags.DEFINE_integer("train_steps", 24, "Or: steps that measure it.")
flags.DEFINE_bool("scale", False, "Time one worker of N for each step.")
flags.DEFINE_integer(
  "store_pairs", 0, "Measure a store of so many pairs.", lower_bound=0
)
flags.DEFINE_integer("repeats", 5, "Passes over the split.", lower_bound=3)
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")


def main() -> None:
  """Measures, writes one JSON file, prints a table."""
  values = flags.FLAGS
  unknown = set(values["batching"].value) - set(BATCHINGS)
  if unknown or not values.batching:
    raise UserError(
      f"`batching` is {values.batching}, but takes some of {BATCHINGS}."
    )
  if values.scale:
    measure_scale(values.repeats, values.output_dir)
    return
  if values.store_pairs:
    measure_store(values.store_pairs, values.repeats, values.output_dir)
    return
  config = config_from_flags(SETTINGS)
  consumed, source = consumption(config)
  # Imported behind the checks: TensorFlow takes seconds.
  from engine.measure.environment import environment

  where = f"{config.task.encoder} on {config.task.name}"
  rows = [
    row(f"{where}: {part}", unit, rates, better="higher")
    for part, unit, rates in measure(config, values.batching, values.repeats)
  ]
  path = write_record(
    "input",
    rows,
    environment=environment(),
    output_dir=values.output_dir,
    train_examples_per_second=consumed,
    train_examples_per_second_from=source,
  )
  print(f"training consumes {consumed:.1f} examples/s ({source})")
  for each in rows:
    rate = each["summary"]
    low, high = rate["interval"]
    print(
      f"{each['name']:40} {rate['median']:9.0f} {each['unit']:10} "
      f"[{low:.0f}, {high:.0f}]  {rate['median'] / consumed:.0f} times what "
      "training consumes"
    )
  print(path)


def measure_scale(repeats: int, output_dir: str) -> None:
  """Measures one worker of N, and orders; writes one JSON file, prints."""
  from benchmarks.scale import one_worker, orders, outlook
  from engine.measure.environment import environment

  source = one_worker.synthetic(_SYNTHETIC)
  rows, predicted = [], []
  for size in one_worker.SIZES:
    seconds = one_worker.cpu_seconds(source, size, repeats * _STEPS)
    rows.append(
      row(str(size), "ms", [1e3 * each for each in seconds], better="lower")
    )
    median = rows[-1]["summary"]["median"]
    print(
      f"{size!s:40} {median:8.2f} ms of CPU a step, the least "
      f"{1e3 * min(seconds):.2f}"
    )
    examples = size.batch_size / size.replicas
    predicted += outlook.told(size.replicas, examples, median / 1e3)
  for examples in orders.SIZES:
    for name, unit, found in orders.measure_order(examples, repeats):
      better = "higher" if unit == "indices/s" else "lower"
      rows.append(row(name, unit, found, better=better))
      print(f"{name:50} {rows[-1]['summary']['median']:12,.2f} {unit}")
  predicted += outlook.table()
  print("\n".join(predicted))
  print(
    write_record(
      "input",
      rows,
      environment=environment(),
      output_dir=output_dir,
      predicted=predicted,
    )
  )


def measure_store(pairs: int, repeats: int, output_dir: str) -> None:
  """Measures a store, writes one JSON file, prints a table."""
  from benchmarks.scale import store
  from engine.measure.environment import environment

  rows = [
    row(what, unit, found, better="lower")
    for what, unit, found in store.measure_store(pairs, repeats)
  ]
  for each in rows:
    found = each["summary"]
    low, high = found["interval"]
    print(
      f"{each['name']:44} {found['median']:10.3f} {each['unit']} "
      f"[{low:.3f}, {high:.3f}]"
    )
  print(
    write_record(
      "input",
      rows,
      environment=environment(),
      output_dir=output_dir,
      store_pairs=pairs,
    )
  )


def consumption(config: Any) -> tuple[float, str]:
  """Returns the examples/s that training consumes, and where that is from.

  Raises:
    UserError: where the given record does not say it.
  """
  values = flags.FLAGS
  if values.train_examples_per_second:
    return values.train_examples_per_second, "--train_examples_per_second"
  if values.throughput:
    rates = {
      each["name"]: each["summary"]["median"]
      for each in read_record(values.throughput)["rows"]
      if each["unit"] == "examples/s"
      and each.get("panel") == config.task.encoder
    }
    if not rates:
      raise UserError(
        f"`throughput` {values.throughput} has no row of the encoder "
        f"{config.task.encoder!r}: measure it, or leave the flag out."
      )
    name = max(rates, key=rates.get)
    return rates[name], f"{values.throughput}, {name}"
  cell = cells.Cell(
    config.task.encoder,
    cells.Strategy.parse("one_device"),
    config.train.precision,
    "pack",
  )
  settings = cells.given_settings(("task", "data_dir", "global_batch_size"))
  try:
    run = cells.measure(cell, settings, train_steps=values.train_steps)
  except cells.CellFailed as error:
    raise UserError(f"The run that measures training failed: {error}.") from (
      error
    )
  if not run.windows:
    raise UserError(
      f"`train_steps` is {values.train_steps}, too few to time: give 24."
    )
  return max(rate for _, rate, _ in run.windows), f"fastest of {cell.label}"


def measure(
  config: Any, batchings: list[str], repeats: int
) -> list[tuple[str, str, list[float]]]:
  """Returns (part, unit, rate of each repeat)."""
  import dataclasses

  from engine.cluster.strategies import create_strategy
  from engine.loop.inputs import Inputs
  from engine.loop.order import Order
  from tasks.data.datasets import answers_of, read_split
  from tasks.encoders import find as encoders
  from tasks.sentence_pair import SentencePairTask
  from tasks.tokens.tokenizer import PairTokenizer

  strategy, _ = create_strategy(config.runtime)
  pairs = read_split(config.task, "train", answers_of(config.task))
  spec = encoders.find(config.task.encoder).tokenizer
  size = config.train.global_batch_size

  def tokenise(repeat):
    tokenizer = PairTokenizer(spec)
    return lambda: tokenizer.encode(
      pairs.texts_a, pairs.texts_b, config.task.max_seq_length
    )

  def epoch_of(batching):
    task = SentencePairTask(dataclasses.replace(config.task, batching=batching))
    source = task.pair_source(pairs)

    def epoch(repeat):
      inputs = Inputs(
        source=source,
        order=Order(
          num_examples=len(pairs),
          batch_size=size,
          num_positions=len(pairs),
          seed=config.train.seed + repeat,
        ),
        strategy=strategy,
        batch_size=size,
      )
      return lambda: fetch_all(inputs)

    return epoch

  parts: list[tuple[str, str, Callable]] = [("tokenise", "pairs/s", tokenise)]
  parts += [(f"batches, {x}", "examples/s", epoch_of(x)) for x in batchings]
  rates: list[list[float]] = [[] for _ in parts]
  for repeat in range(repeats):  # In turn: a machine's speed drifts.
    for (_, _, prepare), found in zip(parts, rates, strict=True):
      work = prepare(repeat)
      begun = time.perf_counter()
      work()
      found.append(len(pairs) / (time.perf_counter() - begun))
  return [
    (name, unit, found)
    for (name, unit, _), found in zip(parts, rates, strict=True)
  ]


def fetch_all(inputs: Any) -> None:
  """Fetches all batches, as `Trainer` does."""
  for step in range(inputs.order.num_batches):
    inputs.fetch(step)


if __name__ == "__main__":
  run_door(main, "Measures the input pipeline on this machine.")

"""What a store of synthetic pairs costs to open, to read, and to keep open.

It is written by the code that `launch.encode` runs, measured in a process of
its own, and deleted. Pairs are those of `benchmarks.scale.one_worker`.
"""

import concurrent.futures
import gc
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.scale.one_worker import lengths_of
from engine.loop.batches import Batches
from engine.loop.order import Order
from tasks.data import store_files
from tasks.model.flops import training_flops
from tasks.tokens.pair_source import PairSource
from tasks.tokens.store import Store

_SHARD = 2**20  # Pairs.
_WORDS = 30_522
_RANDOM = 2048  # Pairs that are read at once.
_BATCH = 32
_FAR = 1_000_000  # The step that is sought.
_STEPS = 500  # After it, in each repeat.


def measure_store(pairs: int, repeats: int) -> list[tuple[str, str, list]]:
  """Makes a store in a temporary directory, measures and deletes it.

  Args:
    pairs: how many it has.
    repeats: of each measurement.

  Returns:
    (what, unit, value of each repeat).
  """
  with tempfile.TemporaryDirectory() as directory:
    meta = _write(directory, pairs)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
      return pool.submit(_measure, directory, meta, pairs, repeats).result()


def _write(directory: str, pairs: int) -> dict[str, Any]:
  rng, count = np.random.default_rng(0), -(-pairs // _SHARD)
  facts = {}
  for i in range(count):
    place = i * _SHARD
    size = min(_SHARD, pairs - place)
    lengths = lengths_of(size, rng)
    name = store_files.name_of("train", i, count)
    path = os.path.join(directory, name)
    store_files.write_shard(
      path,
      rng.integers(_WORDS, size=lengths.sum(), dtype=np.uint16),
      lengths,
      lengths // 2,
      rng.integers(2, size=size, dtype=np.int32),
      classes=2,
      place=place,
      weights=np.ones(size, np.float32),
      ids=np.arange(place, place + size),
    )
    facts[name] = store_files.read_facts(path, 2)
  return {"arrays": {"shards": facts, "checksums": {"train": 0}, "scores": {}}}


def _measure(
  directory: str, meta: dict[str, Any], pairs: int, repeats: int
) -> list[tuple[str, str, list]]:
  paths = [os.path.join(directory, name) for name in meta["arrays"]["shards"]]
  open_it = lambda: Store(
    paths, meta, classes=2, vocabulary=_WORDS, label_type=np.int32
  )
  begun = _resident()
  opened = [_milliseconds(open_it) for _ in range(repeats)]
  rng = np.random.default_rng(1)
  draw = lambda: rng.integers(pairs, size=_RANDOM)
  store = open_it()
  read = [_milliseconds(store.pick, draw()) for _ in range(repeats)]
  first, far, steps = [], [], []
  for repeat in range(repeats):
    batches = _batches(store, pairs, seed=repeat)
    first.append(_milliseconds(batches, 0))
    far.append(_milliseconds(batches, _FAR))
    steps += [_milliseconds(batches, _FAR + i) for i in range(1, _STEPS)]
  more = {name: kept - begun[name] for name, kept in _resident().items()}
  del store, batches  # What is mapped stays in memory.
  cold = []
  for _ in range(repeats):
    _drop(paths)
    cold.append(_milliseconds(open_it().pick, draw()))
  return [
    ("open", "ms", opened),
    (f"read {_RANDOM} random pairs, none in memory", "ms", cold),
    (f"read {_RANDOM} random pairs", "ms", read),
    (f"first batch of {_BATCH}, shapes declared", "ms", first),
    (f"seek to step {_FAR}", "ms", far),
    ("each next step", "ms", steps),
    ("memory of its own", "MB", [more["RssAnon"]] * repeats),
    ("pages of files, which the kernel may take", "MB",
     [more["RssFile"]] * repeats),
  ]  # fmt: skip


def _batches(store: Store, pairs: int, seed: int) -> Batches:
  source = PairSource(
    store,
    store.labels,
    store.ids,
    weights=store.weights(),
    batching="pack",
    width=128,
    flops=lambda lengths: training_flops(
      hidden=768, inner=3072, layers=12, lengths=lengths, classes=2
    ),
    digest=store.digest(),
  )
  order = Order(
    num_examples=pairs,
    batch_size=_BATCH,
    num_positions=2 * _FAR * _BATCH,
    seed=seed,
  )
  return Batches(
    source=source, order=order, batch_size=_BATCH, replicas=1, own=range(1)
  )


def _drop(paths: Sequence[str]) -> None:
  """Asks the kernel to forget shards, which nothing maps."""
  gc.collect()
  for path in paths:
    for name in (store_files.TOKENS, store_files.PAIRS):
      file = os.open(os.path.join(path, name), os.O_RDONLY)
      os.fsync(file)
      os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
      os.close(file)


def _milliseconds(work: Callable, *arguments: Any) -> float:
  begun = time.perf_counter()
  work(*arguments)
  return 1e3 * (time.perf_counter() - begun)


def _resident() -> dict[str, float]:
  """MB that this process holds: its own, and of files that it maps."""
  with open("/proc/self/status") as file:
    found = dict(line.split(":", 1) for line in file)
  return {x: int(found[x].split()[0]) / 1e3 for x in ("RssAnon", "RssFile")}

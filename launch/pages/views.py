"""The pictures of `launch.inspect`, and a line about each."""

import dataclasses
import os
from collections.abc import Iterator

import numpy as np

from engine.config import ExperimentConfig
from engine.loop.epochs import epoch_ends, positions
from engine.loop.order import Order
from engine.step.optimization import build_schedule
from engine.task import Layout
from launch.pages import pictures
from launch.pages.model_picture import draw_model
from tasks import registry
from tasks.config import Batching
from tasks.model.stream import expanded
from tasks.sentence_pair import SentencePairTask
from tasks.tokens.store import Store

_MOST_DRAWN = 2**14  # Pairs: more are finer than the picture.
_MOST_COUNTED = 2**20  # Pairs in the picture of lengths.
_WAYS: tuple[Batching, ...] = ("pad", "bucket", "pack")


def views(
  config: ExperimentConfig, split: str, out: str
) -> Iterator[tuple[str, str]]:
  """Draws the pictures of a run one by one.

  Args:
    config: of the run.
    split: whose pairs are drawn.
    out: the directory of the pictures.

  Yields:
    What a picture shows, and a line with its facts and its path.

  Raises:
    UserError: where the data or matplotlib are missing.
  """
  task = SentencePairTask(registry.require_pairs(config.task, "launch.inspect"))
  source = task.source(split)
  if isinstance(source.encoded, Store):
    yield "store", f"{source.encoded.verify():,} bytes are as they were encoded"
  path = lambda name: os.path.join(out, f"{name}.png")
  shown = source.encoded.pick(np.arange(min(len(source), _MOST_DRAWN)))
  arrays = shown.dense()
  yield (
    "arrays",
    f"{len(source):,} pairs of {split}, {source.encoded.longest} tokens at "
    "most, "
    f"{'classes ' + ', '.join(task.classes) if task.classes else 'scores'}: "
    + pictures.save(pictures.draw_arrays(arrays), path("arrays")),
  )
  sample = source.encoded.sample
  lengths = sample[np.arange(min(len(sample), _MOST_COUNTED))]
  figure = pictures.draw_lengths(
    lengths,
    limit=task.config.max_seq_length,
    title=f"{task.config.name}, {split}",
  )
  yield (
    "lengths",
    f"{lengths.mean():.1f} tokens on average: "
    + pictures.save(figure, path("lengths")),
  )
  ends = epoch_ends(config.train, len(source))
  schedule = build_schedule(config.optimizer, train_steps=ends[-1])
  figure = pictures.draw_schedule(
    [float(schedule(step)) for step in range(ends[-1])],
    epoch_ends=ends,
    title=f"peak {config.optimizer.learning_rate:g}, {ends[-1]} steps",
  )
  yield (
    "schedule",
    f"{ends[-1]} steps of {config.train.global_batch_size} pairs: "
    + pictures.save(figure, path("schedule")),
  )
  model = task.build_model()
  yield (
    "model",
    f"{model.count_params():,} weights: "
    + pictures.save(draw_model(model), path("model")),
  )
  order = Order(
    num_examples=len(source),
    batch_size=config.train.global_batch_size,
    num_positions=positions(config.train, len(source)),
    seed=config.train.seed,
  )
  panels: dict[str, tuple[np.ndarray, Layout]] = {}
  for way in _WAYS:
    laid = SentencePairTask(
      dataclasses.replace(task.config, batching=way)
    ).source(split)
    layout = laid.layout(
      order.indices(0), batch_size=config.train.global_batch_size, shares=1
    )
    batch = laid.batch(order.indices(0), layout)
    panels[way] = expanded(batch)["segments"].numpy(), layout
  share = panels["pack"][1]
  yield (
    "packing",
    f"the first batch, {1 - share.units / share.capacity:.1%} padding packed: "
    + pictures.save(pictures.draw_packing(panels), path("packing")),
  )

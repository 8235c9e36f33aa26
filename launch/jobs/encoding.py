"""What an encoding consists of, and who makes its files."""

import concurrent.futures
import dataclasses
import importlib
import itertools
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from absl import logging as absl_logging

from engine.errors import Damaged, Missing, UserError
from engine.files import (
  DISK_ERRORS,
  is_file,
  parts_in,
  reason_of,
  sha256_of,
  sweep_parts,
  write_json,
)
from engine.formats import read_json
from engine.process.parent import ends_with
from tasks.config import SentencePairConfig
from tasks.data import record_files, store_files
from tasks.data.datasets import answers_of, open_split
from tasks.data.places import RecordSplit
from tasks.encoders import find as encoders
from tasks.tokens import sealing, shards
from tasks.tokens.shards import Shard

_PLAN = "encoding.json"  # Written first: what the files are meant to be.
_LOOK = 1.0  # Seconds between two looks for files that Beam has made.


@dataclasses.dataclass(frozen=True)
class Plan:
  """All files of an encoding.

  Attributes:
    shards: in the order of splits and pairs.
    facts: what the files are a function of.
  """

  shards: Sequence[Shard]
  facts: dict[str, Any]

  @classmethod
  def make(
    cls,
    config: SentencePairConfig,
    splits: Sequence[str],
    *,
    size: int,
    directory: str,
    form: str = "tfrecord",
  ) -> "Plan":
    """Reads the pairs once, and cuts them into files.

    Args:
      config: of the task.
      splits: of the data set.
      size: most pairs in a file.
      directory: of the files.
      form: "tfrecord", or "arrays" for a store.

    Raises:
      UserError: where the pairs are not as they must be.
    """
    if form == "arrays":
      store_files.check_local(directory)
    for split in splits:
      place = open_split(config, split)
      if isinstance(place, RecordSplit):
        raise UserError(f"{place.paths[0]} is encoded already: name the texts.")
    found = encoders.find(config.encoder).tokenizer.with_casing(config.casing)
    for remark in found.remarks():
      absl_logging.warning(remark)
    answers = answers_of(config)
    plans = {
      split: shards.plan(
        config,
        split,
        answers=answers,
        size=size,
        directory=directory,
        form=form,
      )
      for split in splits
    }
    facts = {
      "processor_type": config.name,
      "task_type": (
        "bert_classification" if answers.classes else "bert_regression"
      ),
      "num_labels": answers.outputs,
      "max_seq_length": config.max_seq_length,
      "classes": list(answers.classes),
      "vocabulary": found.digest(),
      "tokenizer": found.facts(),
      "digests": {split: digest for split, (_, digest) in plans.items()},
      "records": {
        os.path.basename(shard.path): shard.count
        for files, _ in plans.values()
        for shard in files
      },
    }
    for split, (files, _) in plans.items():
      named = {"dev": "eval"}.get(split, split)
      facts[f"{named}_data_size"] = sum(shard.count for shard in files)
    parts = [files for files, _ in plans.values()]
    return cls(list(itertools.chain(*parts)), facts)

  def claim(self, directory: str) -> None:
    """Refuses a directory that holds files of another encoding.

    Raises:
      UserError: naming what differs.
    """
    path = os.path.join(directory, _PLAN)
    try:
      old = read_json(path, dict)
    except Missing:
      old = None
    except Damaged as error:
      cure = "name another directory, or remove this one with its files"
      raise Damaged(path, error.why, cure) from error
    if old is not None:
      names = [x for x in self.facts if old.get(x) != self.facts[x]]
      if names:
        raise UserError(
          f"`output_dir` {directory} holds files of another encoding, which "
          f"differs in {', '.join(names)}: name another directory."
        )
      return
    try:
      tf.io.gfile.makedirs(directory)
      write_json(path, self.facts)
    except DISK_ERRORS as error:
      raise UserError(
        f"`output_dir` {directory} cannot be written ({reason_of(error)}): "
        "name one that is yours to write."
      ) from error

  def finish(self, directory: str) -> None:
    """Counts what is on the disk, and says that the directory is whole.

    Raises:
      UserError: where a file is damaged.
    """
    paths = [shard.path for shard in self.shards]
    into_store = store_files.are_stores(paths)
    if into_store:
      told = {"arrays": sealing.seal(paths, self.shards[0].answers)}
    else:
      told = {"sha256": self._digests()}
    names = [os.path.basename(path) for path in paths]
    for left in parts_in(directory, [*names, _PLAN, record_files.META]):
      if is_file(left):
        tf.io.gfile.remove(left)
    for path in paths if into_store else ():
      sweep_parts(path)
    record_files.write_meta(directory, {**self.facts, **told})

  def _digests(self) -> dict[str, str]:
    """Counts the records of each file; returns its SHA-256 by its name."""
    for shard in self.shards:
      try:
        found = record_files.count_records(shard.path)
      except tf.errors.OpError as error:
        raise UserError(_DAMAGED.format(shard.path, error.message)) from error
      if found != shard.count:
        raise UserError(
          _DAMAGED.format(shard.path, f"{found} of {shard.count} records")
        )
    return {os.path.basename(x.path): sha256_of(x.path) for x in self.shards}


_DAMAGED = "{} is damaged ({}): remove it, and give the same command again."


def run(todo: Sequence[Shard], *, workers: int) -> Iterator[Shard]:
  """Makes files, one worker in this process; yields each that is whole."""
  workers = min(workers, len(todo))
  if workers <= 1:
    for shard in todo:
      shards.write(shard)
      yield shard
    return
  context = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(
    workers,
    context,
    initializer=_begin,
    initargs=(os.getpid(),),
  ) as pool:
    made = {pool.submit(shards.write, shard): shard for shard in todo}
    try:
      for future in concurrent.futures.as_completed(made):
        future.result()
        yield made[future]
    except BaseException:
      pool.shutdown(wait=False, cancel_futures=True)
      raise


def check_beam() -> None:
  """Raises `UserError` where Beam is not installed."""
  logging.getLogger("apache_beam").setLevel(logging.ERROR)
  try:
    importlib.import_module("apache_beam")
  except ImportError as error:
    raise UserError(
      f"`beam` needs Apache Beam ({error}): pip install apache-beam."
    ) from error


def run_on_beam(
  todo: Sequence[Shard], options: Sequence[str], *, workers: int
) -> Iterator[Shard]:
  """Makes files on Apache Beam, by default in processes of this machine.

  Args:
    todo: the files.
    options: of Beam and of its runner.
    workers: processes, where no runner is named.

  Yields:
    Each file that has appeared, whoever made it.
  """
  import apache_beam as beam
  from apache_beam.options.pipeline_options import PipelineOptions

  options = list(options)
  if not any(option.startswith("--runner") for option in options):
    options += [
      "--runner=DirectRunner",
      "--direct_running_mode=multi_processing",
      f"--direct_num_workers={workers}",
      "--default_sdk_harness_log_level=ERROR",
    ]

  def pipe():
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
      (
        pipeline
        | "files" >> beam.Create(todo)
        | "spread" >> beam.Reshuffle()
        | "encode" >> beam.Map(shards.write)
      )

  if not todo:
    return
  left = list(todo)
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    running = pool.submit(pipe)
    while left:
      ended = running.done()
      there = [shard for shard in left if shards.is_written(shard)]
      yield from there
      left = [shard for shard in left if shard not in there]
      if ended:
        running.result()  # Raises what the pipeline did.
        return
      concurrent.futures.wait([running], timeout=_LOOK)


def _begin(parent: int) -> None:
  """Prepares a process that encodes; it ends with the one that started it."""
  os.environ["TOKENIZERS_PARALLELISM"] = "false"  # Each process has its core.
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent hears it.
  ends_with(parent, signal.SIGKILL)()

"""What Apsis reads that others may have written, each by the room that does.

A reader takes a content, reads it as a run would, and returns what it found.
"""

import json
import os
import pathlib
import shutil
import types

from engine.config import TaskConfig
from engine.durability import manifest
from engine.durability.run_directory import RunDirectory
from engine.errors import UserError
from engine.process import lock_record
from engine.process.progress import read_progress
from engine.process.watch import Watch
from engine.telemetry import starts as starts_of
from launch.command import configs
from launch.pages.page import write_page
from launch.trained.inputs import Input
from tasks.data.columns import open_table
from tasks.data.pairs import parse_pairs
from tasks.data.record_files import read_meta, write_records
from tasks.sentence_pair import read_classes
from tasks.tokens.encoded import EncodedPairs
from tasks.tokens.records import read_records, serialize
from tasks.wordpiece import stated
from tests.support.attack import callers
from tests.support.attack.reader import Reader


def all_readers(run: pathlib.Path, scratch: pathlib.Path) -> dict[str, Reader]:
  """Name -> reader.

  Args:
    run: a finished run, which is copied.
    scratch: an empty directory.
  """
  return {
    **_of_a_run(run, scratch),
    **_of_settings(run, scratch),
    **_of_data(scratch),
    **callers.readers(),
  }


def _of_a_run(run, scratch):
  copy = scratch / "run"
  shutil.copytree(run, copy)
  (index,) = copy.glob("checkpoints/*.index")
  prefix = str(index.with_suffix(""))

  def holds(name, read, **more):
    path = copy / name
    good = path.read_bytes()

    def replaced(content):
      path.write_bytes(content)
      try:
        return read()
      finally:
        path.write_bytes(good)

    return Reader(good, replaced, **more)

  def restored():
    values = RunDirectory(str(copy)).read_config()
    return values and configs.from_dict(values)

  def holder(content):
    record = lock_record.parse(content)
    return lock_record.who(record), lock_record.lives(record)

  def progress(content):
    (scratch / "progress").write_bytes(content)
    watch = Watch(stall_timeout=30.0)
    watch.look(now=0.0, record=read_progress(str(scratch / "progress")))
    return watch.phase, watch.step + 1

  def starts():
    path = str(copy / starts_of.STARTS)
    log = types.SimpleNamespace(lines=[], dropped=[], step=4)
    read = starts_of.StartLog(path, log, began=0.0, writes=False)
    return starts_of.have_been_committed(path), read.lost, read.earlier_seconds

  page = lambda: write_page([str(copy)], str(scratch / "report.html"))
  assets = str(copy / "assets")
  tokenizer = lambda: stated.read(assets)
  record = json.dumps(lock_record.own_record(5.0, 0.0)).encode()
  return {
    "a manifest": holds(
      os.path.relpath(f"{prefix}.manifest.json", copy),
      lambda: manifest.verify(prefix),
      sealed=True,
    ),
    "config.yaml": holds("config.yaml", restored),
    "config.yaml, on a page": holds("config.yaml", page),
    "result.json, on a page": holds("result.json", page),
    "metrics.jsonl, on a page": holds("metrics.jsonl", page),
    "restarts.jsonl": holds("restarts.jsonl", starts),
    "examples/dev.npz, on a page": holds("examples/dev.npz", page),
    "assets/classes.json": holds(
      "assets/classes.json", lambda: read_classes(assets)
    ),
    "assets/vocab.txt": holds("assets/vocab.txt", tokenizer),
    "assets/tokenizer_config.json": holds(
      "assets/tokenizer_config.json", tokenizer
    ),
    "lock.json": Reader(record, holder),
    "a progress record": Reader(b'{"phase": "step", "step": 3}', progress),
  }


def _of_settings(run, scratch):
  def file(content):
    (scratch / "config.yaml").write_bytes(content)
    layer = configs.read_file(str(scratch / "config.yaml"))
    return configs.build_config([layer])

  def overrides(content):
    text = content.decode(errors="surrogateescape")
    return configs.build_config([configs.parse_overrides(text)])

  return {
    "a config file": Reader((run / "config.yaml").read_bytes(), file),
    "--params_override": Reader(
      b"train.seed=1,task.dropout=0.5,optimizer.learning_rate=1e-4", overrides
    ),
  }


_TABLE = b"text_a\ttext_b\tlabel\nA cat.\tA dog.\tno\nIt rains.\tRain.\tyes\n"


def _of_data(scratch):
  def rows(ending):
    path = scratch / f"pairs.{ending}"

    def read(content):
      path.write_bytes(content)
      return list(open_table(str(path), setting="train_file").rows())

    return read

  def lines(content):
    (scratch / "lines").write_bytes(content)
    found = []
    for row in Input([str(scratch / "lines")], TaskConfig(), "pair"):
      if isinstance(row.line, UserError):  # As launch.predict does.
        raise row.line
      found.append((row.place, row.line))
    return parse_pairs(found, single=False)

  shards = scratch / "shards"
  shards.mkdir()
  path = str(shards / "train-00000-of-00001.tfrecord")
  pairs = EncodedPairs.of([[2, 7, 3, 8, 3], [2, 9, 3, 3]], [3, 3], 0)
  write_records(path, serialize(pairs, [0, 1], [0, 1], length=8))

  def records(content):
    pathlib.Path(path).write_bytes(content)
    return read_records([path], length=8, vocabulary=30, facts={})

  def meta(content):
    (shards / "meta_data").write_bytes(content)
    return read_meta([path])

  said = {"max_seq_length": 8, "classes": ["no", "yes"], "records": {"x": 2}}
  names = ("text_a", "text_b", "label")
  objects = [
    dict(zip(names, line.split(b"\t"), strict=True))
    for line in _TABLE.splitlines()[1:]
  ]
  jsonl = b"".join(
    json.dumps({k: v.decode() for k, v in x.items()}).encode() + b"\n"
    for x in objects
  )
  return {
    "rows of TSV": Reader(_TABLE, rows("tsv")),
    "rows of CSV": Reader(
      _TABLE.replace(b"\t", b",").replace(b"A cat.", b'"A ""cat"", it is"'),
      rows("csv"),
    ),
    "rows of JSON": Reader(jsonl, rows("jsonl")),
    "lines to predict": Reader(b"A cat.\tA dog.\nIt rains.\tRain.\n", lines),
    "records": Reader(pathlib.Path(path).read_bytes(), records),
    "meta_data of records": Reader(json.dumps(said).encode(), meta),
  }

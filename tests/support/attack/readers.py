"""What Apsis reads that others may have written, each by the room that does.

A reader takes a content, reads it as a run would, and returns what it found.
It may raise `UserError`, or what its room's docstring promises, and no more.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import socket
import threading
from collections.abc import Callable

from engine.cluster.discovery import Cluster, find_cluster
from engine.cluster.greetings import Answer, Hello
from engine.cluster.wire import Conversation, Stranger
from engine.config import RuntimeConfig
from engine.durability import lock_record, manifest
from engine.durability.run_directory import RunDirectory
from engine.process import metadata
from engine.process.progress import read_progress
from launch.command import configs
from launch.pages.page import write_page
from launch.trained.lines import read_lines
from tasks.data.columns import open_table
from tasks.data.pairs import parse_pairs
from tasks.data.record_files import read_meta, write_records
from tasks.sentence_pair import read_classes
from tasks.tokens.encoded import EncodedPairs
from tasks.tokens.records import read_records, serialize
from tasks.wordpiece import stated


@dataclasses.dataclass(frozen=True)
class Reader:
  """One of them.

  Attributes:
    content: a good one.
    read: of a content, in any way altered.
    raises: what it may raise, besides `UserError`.
    sealed: whether a content that is altered must not be taken for good.
  """

  content: bytes
  read: Callable[[bytes], object]
  raises: tuple[type[Exception], ...] = ()
  sealed: bool = False


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
    **_of_the_network(),
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
    record = read_progress(str(scratch / "progress"))
    return (record or {}).get("phase")

  page = lambda: write_page([str(copy)], str(scratch / "report.html"))
  assets = str(copy / "assets")
  tokenizer = lambda: stated.read(assets)
  record = json.dumps(lock_record.own_record(5.0, 0.0)).encode()
  return {
    "a manifest": holds(
      os.path.relpath(f"{prefix}.manifest.json", copy),
      lambda: manifest.verify(prefix),
      raises=(manifest.Damaged,),
      sealed=True,
    ),
    "config.yaml": holds("config.yaml", restored),
    "config.yaml, on a page": holds("config.yaml", page),
    "result.json, on a page": holds("result.json", page),
    "metrics.jsonl, on a page": holds("metrics.jsonl", page),
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

  def environ(name):
    def found(content):
      text = content.replace(b"\0", b"").decode(errors="surrogateescape")
      slurm = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
      return find_cluster(RuntimeConfig(), {**slurm, name: text})

    return found

  hosts = {"worker": ["a:1", "b:1"]}
  tf_config = {"cluster": hosts, "task": {"type": "worker", "index": 1}}
  return {
    "a config file": Reader((run / "config.yaml").read_bytes(), file),
    "--params_override": Reader(
      b"train.seed=1,task.dropout=0.5,optimizer.learning_rate=1e-4", overrides
    ),
    "TF_CONFIG": Reader(json.dumps(tf_config).encode(), environ("TF_CONFIG")),
    "Slurm's list of hosts": Reader(
      b"node[01-03,7],other", environ("SLURM_STEP_NODELIST")
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
    found = read_lines(str(scratch / "lines"), "pairs")
    return parse_pairs(found, single=False)

  shards = scratch / "shards"
  shards.mkdir()
  path = str(shards / "train-00000-of-00001.tfrecord")
  pairs = EncodedPairs.of([[2, 7, 3, 8, 3], [2, 9, 3, 3]], [3, 3], 0)
  write_records(path, serialize(pairs, [0, 1], [0, 1], length=8))

  def records(content):
    pathlib.Path(path).write_bytes(content)
    return read_records([path], length=8, counts={})

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
    "lines to predict": Reader(_TABLE.split(b"\n", 1)[1], lines),
    "records": Reader(pathlib.Path(path).read_bytes(), records),
    "meta_data of records": Reader(json.dumps(said).encode(), meta),
  }


def _of_the_network():
  two = Cluster(size=2, index=1, addresses={0: "a:1"}, found_in="a test")
  hello = Hello(index=1, size=2, address="b:1", facts={"mode": "train"})

  def conversation(content):
    talk = Conversation(b"token", calls=False)
    return talk.feed(content), talk.trusted

  answer = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nTRUE"
  return {
    "who calls a chief": Reader(bytes(100), conversation, (Stranger,)),
    "a worker's hello": Reader(hello.encode(), Hello.decode, (Stranger,)),
    "a chief's answer": Reader(
      Answer(addresses=["a:1", "b:1"]).encode(),
      lambda content: Answer.decode(content, two),
      (Stranger,),
    ),
    "the metadata server": Reader(answer, _event_of_server),
  }


def _event_of_server(content):
  """What is made of a server on loopback that sends this, whoever asks."""

  def serve():
    while True:
      try:
        connection, _ = server.accept()
      except OSError:
        return
      with connection:
        connection.recv(4096)
        connection.sendall(content)

  with socket.create_server(("127.0.0.1", 0)) as server:
    thread = threading.Thread(target=serve)
    thread.start()
    try:
      return metadata.event_of(f"127.0.0.1:{server.getsockname()[1]}")
    finally:
      server.shutdown(socket.SHUT_RDWR)
      thread.join()

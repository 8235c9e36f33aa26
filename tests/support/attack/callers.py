"""What launchers, other workers and servers of metadata say to a run."""

import json
import secrets
import socket
import threading
from unittest import mock

from engine.cluster.discovery import Cluster, find_cluster
from engine.cluster.greetings import Answer, Hello
from engine.cluster.wire import Conversation, Stranger
from engine.config import RuntimeConfig
from engine.process import metadata
from tests.support.attack.reader import Reader

_SLURM = {
  "SLURM_STEP_NUM_TASKS": "2",
  "SLURM_PROCID": "1",
  "SLURM_JOB_ID": "4711",
  "SLURM_STEP_NODELIST": "node[01-03,7],other",
  "SLURMD_NODENAME": "node02",
}


def readers() -> dict[str, Reader]:
  """Name -> reader of what launchers, workers and servers say."""
  two = Cluster(size=2, index=1, addresses={0: "a:1"}, found_in="a test")
  hello = Hello(index=1, size=2, address="b:1", facts={"mode": "train"})

  def chief(content):
    return _end(calls=False).feed(content)

  hosts = {"worker": ["a:1", "b:1"]}
  tf_config = {"cluster": hosts, "task": {"type": "worker", "index": 1}}
  answer = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nTRUE"
  return {
    "who calls a chief": Reader(_call(hello.encode()), chief, (Stranger,)),
    "a worker's hello": Reader(hello.encode(), Hello.decode, (Stranger,)),
    "a chief's answer": Reader(
      Answer(addresses=["a:1", "b:1"]).encode(),
      lambda content: Answer.decode(content, two),
      (Stranger,),
    ),
    "TF_CONFIG": Reader(json.dumps(tf_config).encode(), _environ("TF_CONFIG")),
    "Slurm's hosts": Reader(
      _SLURM["SLURM_STEP_NODELIST"].encode(), _environ("SLURM_STEP_NODELIST")
    ),
    "Slurm's job": Reader(b"4711", _environ("SLURM_JOB_ID")),
    "the metadata server": Reader(answer, _event_of_server),
  }


def _end(*, calls):
  """An end of a conversation whose nonce is always the same."""
  with mock.patch.object(secrets, "token_bytes", bytes):
    return Conversation(b"token", calls=calls)


def _call(payload):
  """All that a true worker sends to a chief."""
  chief, worker = _end(calls=False), _end(calls=True)
  worker.feed(bytes(chief.outgoing))
  proved = bytes(worker.outgoing)
  worker.outgoing.clear()
  chief.outgoing.clear()
  chief.feed(proved)
  worker.feed(bytes(chief.outgoing))
  worker.say(payload)
  return proved + bytes(worker.outgoing)


def _environ(name):
  def found(content):
    text = content.replace(b"\0", b"").decode(errors="surrogateescape")
    return find_cluster(RuntimeConfig(), {**_SLURM, name: text})

  return found


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

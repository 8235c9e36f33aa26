"""Strangers at the port of a meeting: none may enter, hold, or learn anything.

python -m tests.support.strangers --connections=1000 --seed=0  # prints a table

A chief and two workers meet, as processes on loopback, while strangers of all
kinds call; the last worker starts once all of them have.
"""

import argparse
import collections
import contextlib
import dataclasses
import itertools
import json
import os
import random
import secrets
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

from engine.cluster import job_token, wire
from engine.cluster.discovery import Cluster
from engine.cluster.rendezvous import meet
from launch.jobs.ranks import free_ports

HANGS = 120.0  # Seconds; nothing here needs a tenth of it.
FACTS = {"mode": "train", "a setting": "/private/path"}
LEAVE, RESET, HALF = "leaves", "resets", "closes its half"
_PAUSE = 0.05  # Seconds between two pieces of the slow.
_NONCE = 32
_NOBODY = "10.6.6.6:31337"


def hello(**changes):
  """What a worker said before there was a token, as a line of JSON."""
  said = {
    "index": 1,
    "size": 3,
    "address": _NOBODY,
    "facts": FACTS,
    "error": "",
    **changes,
  }
  return json.dumps(said).encode() + b"\n"


# Each yields bytes to send, or what it does; what it has heard so far is in
# `heard`. Once it has ended it stays, silent, until it is cut off.


def idle(heard, generator):
  yield from ()


def leaves(heard, generator):
  yield LEAVE


def resets(heard, generator):
  yield RESET


def closes_its_half(heard, generator):
  yield generator.randbytes(generator.randrange(_NONCE))
  yield HALF


def half_a_nonce(heard, generator):
  yield generator.randbytes(_NONCE // 2)


def drips(heard, generator):
  while True:
    yield b" "


def drips_a_frame(heard, generator):
  yield generator.randbytes(_NONCE)
  for _ in range(35):
    yield b"\0"
  yield from drips(heard, generator)


def noise(heard, generator):
  yield generator.randbytes(4096)


def floods(heard, generator):
  while True:
    yield b"a" * 2**16


def floods_with_nothing(heard, generator):
  while True:
    yield b"\0" * 2**16


def asks_for_a_page(heard, generator):
  yield b"GET / HTTP/1.1\r\nHost: chief\r\n\r\n"


def speaks_grpc(heard, generator):
  yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)


def speaks_tls(heard, generator):
  yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + generator.randbytes(
    99
  )


def nests_lists(heard, generator):
  yield b"[" * 200_000 + b"\n"


def nests_objects(heard, generator):
  yield b'{"a":' * 200_000 + b"\n"


def says_infinity(heard, generator):
  yield hello(index=float("inf"))


def says_5000_digits(heard, generator):
  yield hello().replace(b'"index": 1', b'"index": ' + b"1" * 5000)


def takes_a_place(heard, generator):
  yield hello()


def refuses_the_job(heard, generator):
  yield hello(error="\x1b]0;title\x07\x1b[31mrun this to mend it")


def names_4_gib(heard, generator):
  yield generator.randbytes(_NONCE) + b"\xff" * 4
  yield b"a" * 2**16


def guesses_the_proof(heard, generator):
  yield generator.randbytes(_NONCE) + bytes(4) + generator.randbytes(32)


def repeats_what_it_hears(heard, generator):
  said = 0
  while True:
    yield bytes(heard[said:])
    said = len(heard)


def replays(heard, generator):
  yield RECORD


def knows_another_token(heard, generator):
  talk = wire.Conversation(b"the token of another job", calls=True)
  while len(heard) < _NONCE:
    yield b""
  talk.feed(bytes(heard[:_NONCE]))
  yield bytes(talk.outgoing)
  talk.outgoing.clear()
  talk.trusted = True  # It does not wait for a proof.
  talk.say(hello())
  yield bytes(talk.outgoing)


KINDS = {
  kind.__name__.replace("_", " "): kind
  for kind in (
    idle,
    leaves,
    resets,
    closes_its_half,
    half_a_nonce,
    drips,
    drips_a_frame,
    noise,
    floods,
    floods_with_nothing,
    asks_for_a_page,
    speaks_grpc,
    speaks_tls,
    nests_lists,
    nests_objects,
    says_infinity,
    says_5000_digits,
    takes_a_place,
    refuses_the_job,
    names_4_gib,
    guesses_the_proof,
    repeats_what_it_hears,
    replays,
    knows_another_token,
  )
}
SLOW = {"drips", "drips a frame", "repeats what it hears"}
TOKEN = secrets.token_hex()  # Of the job that strangers want to enter.


def record(token):
  """All that a true worker of the job sent, in another conversation."""
  ends = [wire.Conversation(token.encode(), calls=x) for x in (False, True)]
  sent = bytearray()
  while ends[0].outgoing or ends[1].outgoing:
    ends[1].feed(ends[0].outgoing)
    ends[0].outgoing.clear()
    sent += ends[1].outgoing
    ends[0].feed(ends[1].outgoing)
    ends[1].outgoing.clear()
  ends[1].say(hello().strip())
  return bytes(sent + ends[1].outgoing)


RECORD = record(TOKEN)


class Stranger:
  """One connection, and how it behaves."""

  def __init__(self, kind, connection, generator):
    self.kind = kind
    self.connection = connection
    self.heard = bytearray()
    self.behaviour = KINDS[kind](self.heard, generator)
    self.waiting = b""  # Of a piece that is half sent.
    self.next = 0.0  # When it says more.
    self.ended = False  # It has said all.


class Strangers:
  """Many at once, in a thread: they call, or are called in a chief's stead."""

  def __init__(self, kinds, *, seed=0):
    """Initializes the strangers; they come one after the other.

    Args:
      kinds: of each.
      seed: of what they make up.
    """
    self.heard = collections.defaultdict(list)  # Kind -> bytes that each heard.
    self.all_called = threading.Event()
    self.called = 0
    self._kinds = collections.deque(kinds)
    self._generator = random.Random(seed)
    self._selector = selectors.DefaultSelector()
    self._there = set()
    self._done = threading.Event()

  @contextlib.contextmanager
  def calling(self, address):
    """They call at (host, port), as soon as somebody listens there."""
    with self._in_a_thread(lambda: self._call(address)):
      yield self

  @contextlib.contextmanager
  def called_at(self, server):
    """They answer calls, each kind in turn, again and again."""
    server.setblocking(False)
    with self._in_a_thread(lambda: self._answer(server)):
      yield self

  @contextlib.contextmanager
  def _in_a_thread(self, come):
    thread = threading.Thread(target=self._run, args=(come,))
    thread.start()
    try:
      yield
    finally:
      self._done.set()
      thread.join()

  def _run(self, come):
    with self._selector:
      while not self._done.is_set():
        come()
        now = time.monotonic()
        for key, _ in self._selector.select(0.001):
          self._listen(key.data)
        for stranger in list(self._there):
          if not stranger.ended and now >= stranger.next:
            self._speak(stranger, now)
      for stranger in list(self._there):
        self._end(stranger)

  def _call(self, address):
    """Some more call."""
    for _ in range(20):
      if not self._kinds:
        self.all_called.set()
        return
      try:
        connection = socket.create_connection(address, 1.0)
      except OSError:
        return  # It does not listen yet.
      self._join(self._kinds.popleft(), connection)

  def _answer(self, server):
    with contextlib.suppress(BlockingIOError):
      connection, _ = server.accept()
      self._kinds.rotate(-1)
      self._join(self._kinds[-1], connection)

  def _join(self, kind, connection):
    self.called += 1
    connection.setblocking(False)
    stranger = Stranger(kind, connection, self._generator)
    self._there.add(stranger)
    self._selector.register(connection, selectors.EVENT_READ, stranger)

  def _listen(self, stranger):
    try:
      data = stranger.connection.recv(2**16)
    except BlockingIOError:
      return
    except OSError:
      data = b""
    stranger.heard += data
    if not data:
      self._end(stranger)

  def _speak(self, stranger, now):
    """Sends the next piece, or what is left of one."""
    if stranger.kind in SLOW:
      stranger.next = now + _PAUSE
    piece = stranger.waiting or next(stranger.behaviour, None)
    if piece is None:
      stranger.ended = True
    elif piece == HALF:
      with contextlib.suppress(OSError):
        stranger.connection.shutdown(socket.SHUT_WR)
    elif isinstance(piece, str):
      self._end(stranger, reset=piece == RESET)
    elif piece:
      try:
        stranger.waiting = piece[stranger.connection.send(piece) :]
      except BlockingIOError:
        stranger.waiting = piece
      except OSError:
        self._end(stranger)

  def _end(self, stranger, *, reset=False):
    if reset:
      stranger.connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
      )
    self.heard[stranger.kind].append(len(stranger.heard))
    self._there.discard(stranger)
    self._selector.unregister(stranger.connection)
    stranger.connection.close()


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a campaign.

  Attributes:
    heard: kind -> bytes that each of its strangers heard.
    met: what each worker said at its end.
    hosts: the addresses of the true workers.
    seconds: from the start of the last worker's meeting to its end.
    grown: bytes of memory that the chief took, at most, while it met.
  """

  heard: dict[str, list[int]]
  met: list[dict]
  hosts: list[str]
  seconds: float
  grown: int

  @property
  def admitted(self):
    """Strangers that are among the workers, or heard more than a nonce."""
    others = {x for each in self.met for x in each["addresses"]}
    more = sum(x > _NONCE for each in self.heard.values() for x in each)
    return len(others - set(self.hosts)) + more


def campaign(connections, seed):
  """Lets three workers meet while so many strangers call."""
  kinds = list(itertools.islice(itertools.cycle(KINDS), connections))
  random.Random(seed).shuffle(kinds)
  hosts = [f"127.0.0.1:{port}" for port in free_ports(3)]
  chief = ("127.0.0.1", int(hosts[0].rsplit(":", 1)[1]))
  workers = [_start(hosts, 0)]
  try:
    with Strangers(kinds, seed=seed).calling(chief) as strangers:
      workers.append(_start(hosts, 1))
      assert strangers.all_called.wait(HANGS)
      workers.append(_start(hosts, 2))
      said = [worker.communicate(timeout=HANGS) for worker in workers]
  finally:
    for worker in workers:
      worker.kill()
  for worker, (_, errors) in zip(workers, said, strict=True):
    assert worker.returncode == 0, errors
  met = [json.loads(out) for out, _ in said]
  return Outcome(
    heard=dict(strangers.heard),
    met=met,
    hosts=hosts,
    seconds=met[2]["seconds"],
    grown=met[0]["grown"],
  )


def _start(hosts, index):
  """Starts a worker that meets, and says how it was."""
  return subprocess.Popen(
    [
      sys.executable,
      "-m",
      "tests.support.strangers",
      f"--hosts={','.join(hosts)}",
      f"--index={index}",
    ],
    env={**os.environ, job_token.VARIABLE: TOKEN},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def worker(hosts, index):
  """A true worker."""
  cluster = Cluster(
    size=len(hosts),
    index=index,
    addresses=dict(enumerate(hosts)),
    found_in="a campaign",
  )
  before, begun = peak_bytes(), time.monotonic()
  met = meet(cluster, FACTS, timeout=HANGS / 2)
  return {
    "addresses": [met.addresses[i] for i in range(met.size)],
    "seconds": time.monotonic() - begun,
    "grown": peak_bytes() - before,
  }


def peak_bytes():
  """The most memory that this process has had (not those before its exec)."""
  with open("/proc/self/status") as file:
    (line,) = [x for x in file if x.startswith("VmHWM")]
  return int(line.split()[1]) * 1024


def table(outcome):
  """What `campaign` returns, in Markdown."""
  lines = [
    "| stranger | connections | heard at most |",
    "| --- | ---: | ---: |",
  ]
  for kind, heard in sorted(outcome.heard.items()):
    lines.append(f"| {kind} | {len(heard)} | {max(heard)} bytes |")
  lines += [
    "",
    f"{sum(map(len, outcome.heard.values()))} connections of "
    f"{len(outcome.heard)} kinds, {outcome.admitted} admitted; the last worker "
    f"met within {outcome.seconds:.2f} s; the chief took "
    f"{outcome.grown / 1e6:.1f} MB.",
  ]
  return "\n".join(lines)


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--connections", type=int, default=1000)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--hosts", default="")
  parser.add_argument("--index", type=int, default=0)
  arguments = parser.parse_args()
  if arguments.hosts:
    print(json.dumps(worker(arguments.hosts.split(","), arguments.index)))
    return
  outcome = campaign(arguments.connections, arguments.seed)
  print(table(outcome))
  if outcome.admitted or outcome.grown > 50e6:
    sys.exit(1)


if __name__ == "__main__":
  main()

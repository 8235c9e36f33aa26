"""How the workers of a run find each other, and what they compare first.

TensorFlow's own start-up waits for missing peers for an hour and starts with
whatever it was told. So the workers meet before it: each tells the chief who it
is and what it is about to do, on the port that the chief's TensorFlow will use
next; the chief tells all of them who is there, or why nobody starts. Both prove
first that they know the token of the job, and believe nothing unchecked.
"""

import contextlib
import dataclasses
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.cluster.address import check_free, listen, split
from engine.cluster.discovery import Cluster
from engine.cluster.greetings import Answer, Hello, refusal
from engine.cluster.job_token import JobToken, find_token
from engine.cluster.reception import Caller, Reception
from engine.cluster.wire import Conversation, Stranger
from engine.errors import UserError, one_line

_RETRY = 0.1  # Seconds between two knocks at the chief's door.
_GRACE = 5.0  # Seconds that an answer may take on its way.
_LONG = 1e6  # Seconds that a socket can be told to wait.


def meet(
  cluster: Cluster,
  facts: Mapping[str, Any],
  *,
  timeout: float,
  directory: str = "",
  environ: Mapping[str, str] = os.environ,
) -> Cluster:
  """Waits for all workers and compares what they are about to do.

  Args:
    cluster: as this worker sees it.
    facts: what must be equal on all workers; JSON values.
    timeout: seconds to wait.
    directory: that all workers share; it keeps the job's token where `environ`
      has none.
    environ: variables of the process.

  Returns:
    The cluster with the addresses of all workers.

  Raises:
    UserError: the same on all workers that came: who did not come, whose port
      is in use, or which fact differs.
  """
  deadline = time.monotonic() + timeout
  hello = Hello(
    index=cluster.index,
    size=cluster.size,
    address=cluster.addresses[cluster.index],
    facts=dict(facts),
  )
  try:
    check_free(split(hello.address)[1])
  except OSError as error:
    hello = _without_port(hello, error)
  if cluster.index:
    token = find_token(cluster, environ, directory)
    answer = _call(cluster, hello, token, deadline, timeout)
  elif hello.error or cluster.size == 1:
    answer = _outcome(cluster, [hello])
  else:
    with find_token(cluster, environ, directory).made() as secret:
      answer = _host(cluster, hello, secret, deadline, timeout)
  if answer.refusal:
    raise UserError(answer.refusal)
  return dataclasses.replace(
    cluster, addresses=dict(enumerate(answer.addresses))
  )


@contextlib.contextmanager
def ends_within(seconds: float, message: str) -> Iterator[None]:
  """Ends the process, status 2, where a block hangs in TensorFlow's C++."""

  def end():
    print(message, file=sys.stderr, flush=True)
    os._exit(2)

  timer = threading.Timer(seconds, end)
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


def _host(
  cluster: Cluster,
  hello: Hello,
  token: bytes,
  deadline: float,
  timeout: float,
) -> Answer:
  """The chief's part: hears all workers, tells all of them the outcome."""
  host, port = split(hello.address)
  try:
    servers, all_of_them = listen(host, port)
  except OSError as error:
    return _outcome(cluster, [_without_port(hello, error)])
  if all_of_them:
    print(
      f"{host} leads to no address of this machine: until the others are there "
      "it listens on all of them.",
      file=sys.stderr,
      flush=True,
    )
  with Reception(servers, token, size=cluster.size) as reception:
    guests = _hear(cluster.size, reception, deadline)
    answer = _outcome(
      cluster,
      [hello, *guests.values()],
      timeout=timeout,
      strangers=reception.turned_away,
    )
    message = answer.encode()
    for caller in guests:
      reception.say(caller, message)
    reception.part(_GRACE)
  return answer


def _hear(
  size: int, reception: Reception, deadline: float
) -> dict[Caller, Hello]:
  """Waits for one hello of each worker but the chief, or two of one."""
  guests: dict[Caller, Hello] = {}
  here, twice = {0}, False
  while len(here) < size and not twice and time.monotonic() < deadline:
    for caller, message in reception.hear(deadline - time.monotonic()):
      if message is None:  # A worker has ended: it may come back.
        here.discard(guests.pop(caller).index)
        continue
      try:
        hello = Hello.decode(message)
      except Stranger:
        reception.cut(caller)
        continue
      if hello.index in here:
        twice = True
        error = f"two processes say that they are worker {hello.index}"
        hello = dataclasses.replace(hello, error=error)
      here.add(hello.index)
      guests[caller] = hello
  return guests


def _call(
  cluster: Cluster,
  hello: Hello,
  token: JobToken,
  deadline: float,
  timeout: float,
) -> Answer:
  """A worker's part: tells the chief about itself and hears the outcome."""
  chief = split(cluster.addresses[0])
  while True:
    try:
      message = _ask(chief, token.read(), hello.encode(), timeout + _GRACE)
      return Answer.decode(message, cluster)
    except (ConnectionResetError, BrokenPipeError):
      reason = "it hung up: is its token of the job the same?"
    except (OSError, ValueError, Stranger) as error:
      reason = one_line(str(error), 100)
    if time.monotonic() > deadline:
      raise UserError(
        f"{cluster.name(0)} did not answer within {timeout:g} s ({reason}): "
        "start it, or mend its address; --startup_timeout waits longer."
      )
    time.sleep(_RETRY)


def _ask(
  chief: tuple[str, int], token: bytes, message: bytes, patience: float
) -> bytes:
  """Gives the chief a message; returns its own.

  Args:
    chief: host and port.
    token: of the job.
    message: for a chief that has proved that it knows the token.
    patience: seconds to wait for what it says then.

  Raises:
    OSError, Stranger: where no such chief answers in time.
  """
  talk = Conversation(token, calls=True)
  with socket.create_connection(chief, _GRACE) as connection:
    until = time.monotonic() + _GRACE  # For the proof, in however many pieces.
    while True:
      left = until - time.monotonic()
      connection.settimeout(min(max(left, 1e-3), _LONG))
      data = connection.recv(2**16)
      if not data or left <= 0:
        raise OSError("who is there does not answer as this job's chief would")
      trusted = talk.trusted
      for said in talk.feed(data):
        return said
      if talk.trusted and not trusted:
        talk.say(message)
        until = time.monotonic() + patience
      connection.sendall(talk.outgoing)
      talk.outgoing.clear()


def _without_port(hello: Hello, error: OSError) -> Hello:
  port = split(hello.address)[1]
  reason = os.strerror(error.errno or 0)
  return dataclasses.replace(
    hello, error=f"port {port} cannot be had ({reason})"
  )


def _outcome(
  cluster: Cluster,
  heard: Sequence[Hello],
  *,
  timeout: float = 0.0,
  strangers: int = 0,
) -> Answer:
  """What the chief answers to those who came."""
  heard = sorted(heard, key=lambda hello: hello.index)
  return Answer(
    addresses=[hello.address for hello in heard],
    refusal=refusal(cluster, heard, timeout=timeout, strangers=strangers),
  )

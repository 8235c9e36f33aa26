"""How the workers of a run find each other, and what they compare first.

TensorFlow's own start-up waits for missing peers for an hour and starts with
whatever it was told. So the workers meet before it: each tells the chief who it
is and what it is about to do, on the port that the chief's TensorFlow will use
next; the chief tells all of them who is there, or why nobody starts.
"""

import contextlib
import dataclasses
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from engine.cluster.discovery import Cluster
from engine.errors import UserError

_RETRY = 0.1  # Seconds between two knocks at the chief's door.
_GRACE = 5.0  # Seconds that an answer may take on its way.


def meet(
  cluster: Cluster, facts: Mapping[str, Any], *, timeout: float
) -> Cluster:
  """Waits for all workers and compares what they are about to do.

  Args:
    cluster: as this worker sees it.
    facts: what must be equal on all workers; JSON values.
    timeout: seconds to wait.

  Returns:
    The cluster with the addresses of all workers.

  Raises:
    UserError: the same on all workers that came: who did not come, whose port
      is in use, or which fact differs.
  """
  hello = {
    "index": cluster.index,
    "size": cluster.size,
    "address": cluster.addresses[cluster.index],
    "facts": dict(facts),
    "error": "",
  }
  deadline = time.monotonic() + timeout
  port = int(hello["address"].rsplit(":", 1)[1])
  try:
    server = _server(port)
  except OSError as error:
    hello["error"] = f"port {port} cannot be had ({error.strerror})"
    if cluster.index == 0:
      raise UserError(_refusal(cluster, [hello])) from error
  else:
    with server:
      if cluster.index == 0:
        answer = _host(cluster, hello, server, deadline, timeout)
  if cluster.index:
    answer = _call(cluster, hello, deadline, timeout)
  if answer["refusal"]:
    raise UserError(answer["refusal"])
  return dataclasses.replace(
    cluster, addresses=dict(enumerate(answer["addresses"]))
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
  hello: dict[str, Any],
  server: socket.socket,
  deadline: float,
  timeout: float,
) -> dict[str, Any]:
  """The chief's part: hears all workers, tells all of them the outcome."""
  heard = {0: hello}
  with contextlib.ExitStack() as connections:
    callers = []
    while len(heard) < cluster.size and time.monotonic() < deadline:
      server.settimeout(max(deadline - time.monotonic(), 0.001))
      try:
        connection = connections.enter_context(server.accept()[0])
        connection.settimeout(_GRACE)
        words = connections.enter_context(connection.makefile("r"))
        said = json.loads(words.readline())
        said = {name: type(hello[name])(said[name]) for name in hello}
      except (OSError, ValueError, KeyError, TypeError):
        continue  # Nobody, or a stranger.
      index = said["index"]
      callers.append((connection, words))
      if index in heard:
        said["error"] = f"two processes say that they are worker {index}"
        heard[-1] = said
        break
      heard[index] = said
    answer = {
      "addresses": [heard[index]["address"] for index in sorted(heard)],
      "refusal": _refusal(cluster, list(heard.values()), timeout),
    }
    for connection, _ in callers:
      with contextlib.suppress(OSError):
        connection.sendall(json.dumps(answer).encode() + b"\n")
    # Whoever closes first keeps the port busy: that shall be the workers.
    for _, words in callers:
      with contextlib.suppress(OSError):
        words.readline()
  return answer


def _call(
  cluster: Cluster, hello: dict[str, Any], deadline: float, timeout: float
) -> dict[str, Any]:
  """A worker's part: tells the chief about itself and hears the outcome."""
  host, port = cluster.addresses[0].rsplit(":", 1)
  while True:
    try:
      with socket.create_connection((host, int(port)), _GRACE) as connection:
        connection.settimeout(timeout + _GRACE)
        connection.sendall(json.dumps(hello).encode() + b"\n")
        with connection.makefile("r") as words:
          answer = json.loads(words.readline())
          return {name: answer[name] for name in ("addresses", "refusal")}
    except (OSError, ValueError, KeyError, TypeError) as error:
      if time.monotonic() > deadline:
        raise UserError(
          f"{cluster.name(0)} did not answer within {timeout:g} s ({error}): "
          "start it, or mend its address; --startup_timeout waits longer."
        ) from error
      time.sleep(_RETRY)


def _refusal(
  cluster: Cluster, heard: list[dict[str, Any]], timeout: float = 0.0
) -> str:
  """Why the run cannot start; empty where it can."""
  known = {said["index"]: said["address"] for said in heard}
  cluster = dataclasses.replace(
    cluster, addresses={**cluster.addresses, **known}
  )
  for said in heard:
    if said["error"]:
      return (
        f"{cluster.name(said['index'])}: {said['error']}: end the other "
        "process or give another address."
      )
    different = compare(heard[0]["facts"], said["facts"])
    if said["size"] != cluster.size:
      different.insert(0, f"workers: {cluster.size} -> {said['size']}")
    if different:
      return (
        f"{cluster.name(said['index'])} differs from {cluster.name(0)} "
        f"({'; '.join(different[:8])}): start all workers alike."
      )
  missing = [i for i in range(cluster.size) if i not in known]
  if missing:
    names = ", ".join(cluster.name(i) for i in missing)
    return (
      f"{names} did not answer within {timeout:g} s: start it, or mend its "
      "address; --startup_timeout waits longer."
    )
  return ""


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
  """Names the facts that differ, with both values."""
  names = list(dict.fromkeys([*old, *new]))
  return [
    f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
    for name in names
    if old.get(name) != new.get(name)
  ]


def _server(port: int) -> socket.socket:
  """Listens on a port of all addresses, of both versions of IP if possible."""
  if socket.has_dualstack_ipv6():
    return socket.create_server(
      ("", port), family=socket.AF_INET6, dualstack_ipv6=True
    )
  return socket.create_server(("", port))

"""What a cloud machine's metadata server says of the end of the machine.

It is asked over plain HTTP, so whatever answers is read within bounds: a few
kilobytes in two seconds, in however many pieces, from that server alone.
"""

import contextlib
import http.client
import io
import json
import os
import socket
import time
from typing import Any

_TIMEOUT = 2.0  # Seconds for an answer of the metadata server, all of it.
_LONGEST = 2**16  # Bytes of an answer, its head included.
_PRODUCT = "/sys/class/dmi/id/product_name"
_METADATA_HOST = "169.254.169.254"  # Needs no name service.


def find_metadata_host() -> str:
  """Returns the host of Compute Engine's metadata server; "" elsewhere."""
  if host := os.environ.get("GCE_METADATA_HOST"):
    return host
  with contextlib.suppress(OSError), open(_PRODUCT) as file:
    if file.read().strip() == "Google Compute Engine":
      return _METADATA_HOST
  return ""


def event_of(host: str) -> str:
  """Returns the event of the machine that will end it; "" for none."""
  if _fetch(host, "preempted") == "TRUE":
    return "preemption of this machine"
  event = _fetch(host, "maintenance-event")
  # Machines without accelerators migrate, which is no reason to stop.
  if event == "TERMINATE_ON_HOST_MAINTENANCE":
    return f"maintenance event {event}"
  with contextlib.suppress(ValueError, RecursionError):
    plan = json.loads(_fetch(host, "upcoming-maintenance?alt=json"))
    if isinstance(plan, dict) and plan.get("maintenance_status") == "ONGOING":
      return "maintenance of this machine, ONGOING"
  return ""


def _fetch(host: str, name: str) -> str:
  """Returns a value of the metadata server; "" where none comes."""
  deadline = time.monotonic() + _TIMEOUT
  try:
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT)
    with contextlib.closing(connection):
      connection.request(
        "GET",
        f"/computeMetadata/v1/instance/{name}",
        headers={"Metadata-Flavor": "Google", "Connection": "close"},
      )
      received: Any = _Received(connection.sock, deadline)
      response = http.client.HTTPResponse(received, method="GET")
    response.begin()
    # Nobody is asked elsewhere: 200 alone is an answer.
    return response.read().decode().strip() if response.status == 200 else ""
  except (OSError, http.client.HTTPException, ValueError):
    return ""


class _Received:
  """What came over a socket, as one that `HTTPResponse` reads from."""

  def __init__(self, connection: socket.socket, deadline: float):
    """Reads to the end, to the deadline, or as much as an answer may have."""
    self._data = b""
    with contextlib.suppress(TimeoutError):
      while len(self._data) < _LONGEST:
        connection.settimeout(max(deadline - time.monotonic(), 1e-3))
        if not (piece := connection.recv(_LONGEST - len(self._data))):
          return
        self._data += piece
        if time.monotonic() > deadline:
          return

  def makefile(self, mode: str) -> io.BytesIO:
    return io.BytesIO(self._data)
